"""`mmpt convert`: original checkpoints <-> safetensors folders."""

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mmpt convert runs/retri/videoclip/checkpoint_best.pt models/videoclip/
  mmpt convert my.pt models/mine/ --config projects/mtm/vlm/how2.yaml
  mmpt convert --to-original models/videoclip/ checkpoint_best.pt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("source", type=Path, help="the checkpoint, or with --to-original the folder")
    parser.add_argument("target", type=Path, help="the folder to write, or with --to-original the checkpoint")
    parser.add_argument("--to-original", action="store_true", help="write a checkpoint that the original reads")
    parser.add_argument("--config", type=Path, metavar="YAML", help="what the checkpoint was made with; else inferred")
    parser.add_argument("--bert-name", metavar="FOLDER", help="folder or hub name of the BERT, in place of the YAML's")
    parser.add_argument(
        "--allow-non-finite", action="store_true", help="write weights even if they hold NaN or infinity"
    )
    parser.add_argument("--force", action="store_true", help="write over what is there")


def run(args: argparse.Namespace) -> int:
    """Convert.

    Returns:
        0.

    Raises:
        ValueError: something is there already, or the checkpoint cannot be used.
    """
    from mmpt.cli.console import err, quiet_transformers

    occupied = args.target.is_file() or (args.target.is_dir() and any(args.target.iterdir()))
    if occupied and not args.force:
        raise ValueError(f"{args.target} is there already; give another place, or --force to write over it")
    with quiet_transformers():
        if args.to_original:
            from mmpt.models.checkpoints import to_original

            to_original(args.source, args.target, allow_non_finite=args.allow_non_finite)
        else:
            _to_folder(args)
    err.print(f"written: {args.target}", soft_wrap=True)
    return 0


def _to_folder(args: argparse.Namespace) -> None:
    from mmpt.cli.console import err
    from mmpt.config import load_config
    from mmpt.models.build import build_config
    from mmpt.models.checkpoints import convert
    from mmpt.text.tokenizer import load_tokenizer

    run = load_config(args.config) if args.config else None
    config = build_config(run, bert_name=args.bert_name) if run else None
    model = convert(args.source, args.target, config, allow_non_finite=args.allow_non_finite)
    err.print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")
    bert_name = args.bert_name or (run.dataset.bert_name if run else "bert-base-uncased")
    try:
        load_tokenizer(bert_name).save_pretrained(args.target)
    except FileNotFoundError as error:
        err.print(f"without a tokenizer, which loading asks for: {error}", style="yellow", soft_wrap=True)
