"""`mmpt plot`: the curves of trainings."""

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mmpt plot runs/retri/videoclip
  mmpt plot runs/retri/videoclip/vtt runs/mtm/vlm/vtt -o retrieval.png

Draws metrics.jsonl of a run's folder: the loss of training and validation, the
learning rate, the gradient and the speed. Several runs share one picture.
Works while a training runs. Without -o it is curves.png in the (first) folder.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of trainings")
    parser.add_argument("-o", "--out", type=Path, metavar="PNG", help="the picture (RUN/curves.png)")


def run(args: argparse.Namespace) -> int:
    """Draw.

    Returns:
        0.
    """
    from mmpt.cli.console import out
    from mmpt.cli.plots import check_target, save_figure
    from mmpt.cli.plots_training import draw_training
    from mmpt.training.metrics_log import FILE, read_metrics

    logs = {str(folder): read_metrics(folder) for folder in args.runs}
    empty = [name for name, lines in logs.items() if not any(line["kind"] == "update" for line in lines)]
    if empty:
        raise FileNotFoundError(
            f"{', '.join(empty)}: no {FILE} with an update in it; give the folder of a training "
            "(fairseq.checkpoint.save_dir)"
        )
    target = args.out or args.runs[0] / "curves.png"
    check_target(target)
    save_figure(target, draw_training(logs, ", ".join(logs)))
    out.print(f"written: {target}", soft_wrap=True)
    return 0
