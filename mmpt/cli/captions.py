"""`mmpt captions`: captions cleaned, a vocabulary learnt from them, and cut into word pieces."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmpt.text.cleaning import Summary
    from mmpt.text.pretokenize import Tokenized

SUBCOMMANDS = True  # its parser has commands of its own
CLEAN = "raw_caption_dedup.pkl"
WEIGHTS = (".safetensors", ".bin", ".pt", ".h5", ".msgpack")  # endings of the files that a BERT's weights come in

EXAMPLES = """examples:
  mmpt captions dedup raw_caption.json -o data/how2
  mmpt captions dedup subtitles/ -o data/mine --language en
  mmpt captions tokenize data/how2/raw_caption_dedup.pkl \\
      --bert-name bert-base-uncased -o data/feat/feat_how2_s3d_shard_small
  mmpt captions vocabulary data/mine/raw_caption_dedup.pkl -o data/mine/bert
"""
DEDUP_EXAMPLES = """examples:
  mmpt captions dedup raw_caption.json -o data/how2
  mmpt captions dedup subtitles/ -o data/mine --language en
  mmpt captions dedup raw_caption.pkl -o clean.pkl -o clean.json

IN is raw_caption.json or raw_caption.pkl (video id -> start, end, text), or a
folder of .srt and .vtt files, whose names give the ids: clip.en.vtt is clip,
and so are clip.eng.sdh.srt and clip.en-orig.vtt.
A video that cannot be used is written to OUT's .failures.jsonl with the reason,
the others are kept, and the exit code is 1.
"""
TOKENIZE_EXAMPLES = """examples:
  mmpt captions tokenize data/how2/raw_caption_dedup.pkl \\
      --bert-name bert-base-uncased -o data/feat/feat_how2_s3d_shard_small
  mmpt captions tokenize clean.pkl --bert-name bert-base-uncased -o tokens.pkl

Into a folder, shards are written beside those of the features: its
<split>_meta.pkl files (from mmpt shard) say which video goes where. A second
call makes only the shards that are missing or out of date. Into a .pkl file,
one dict of all videos is written.
"""
VOCABULARY_EXAMPLES = """examples:
  mmpt captions vocabulary data/mine/raw_caption_dedup.pkl -o data/mine/bert
  mmpt captions vocabulary clean.pkl -o small --size 500 --width 128 --layers 2

OUT becomes a BERT without weights: word pieces, and how large its layers are.
Name it where a BERT is asked for (--bert-name, dataset.bert_name), and train
from random weights (mmpt train --from-scratch).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    about = "Clean automatic captions: every word once."
    dedup = commands.add_parser(
        "dedup", help="clean automatic captions", description=about, epilog=DEDUP_EXAMPLES, formatter_class=raw
    )
    dedup.add_argument("source", type=Path, metavar="IN", help="caption file, or folder of subtitle files")
    dedup.add_argument(
        *("-o", "--output"),
        action="append",
        type=Path,
        required=True,
        metavar="OUT",
        help=f".pkl or .json file, or a folder for {CLEAN}; may be given twice",
    )
    dedup.add_argument("--seed", type=int, default=0, help="of the draws where two captions share words (%(default)s)")
    dedup.add_argument("--workers", type=int, metavar="N", help="processes (as many as there are cores)")
    dedup.add_argument("--language", metavar="CODE", help="which subtitles, where a video has several, such as en")
    dedup.add_argument("--encoding", metavar="NAME", help="of subtitle files not in Unicode, such as cp1252")
    about = "Cut captions into word pieces, so that training need not."
    tokenize = commands.add_parser(
        "tokenize", help="cut captions into word pieces", description=about, epilog=TOKENIZE_EXAMPLES,
        formatter_class=raw,
    )  # fmt: skip
    tokenize.add_argument("source", type=Path, nargs="?", metavar="IN", help="clean caption file, .pkl or .json")
    tokenize.add_argument(
        *("-o", "--output"),
        action="append",
        type=Path,
        metavar="OUT",
        help="folder of the feature shards, or a .pkl file; may be given twice",
    )
    tokenize.add_argument("--bert-name", metavar="NAME", help="folder or hub name of the BERT whose vocabulary is used")
    tokenize.add_argument(
        "--meta", action="append", type=Path, metavar="PKL", help="<split>_meta.pkl, where OUT holds none; may repeat"
    )
    tokenize.add_argument(
        "--config", type=Path, metavar="YAML", help="take IN, OUT and NAME from an original YAML file"
    )
    tokenize.add_argument("--overwrite", action="store_true", help="make again what is there already")
    about = "Learn a vocabulary of word pieces from captions, for a model of one's own size."
    vocabulary = commands.add_parser(
        "vocabulary", help="learn a vocabulary of one's own", description=about, epilog=VOCABULARY_EXAMPLES,
        formatter_class=raw,
    )  # fmt: skip
    _configure_vocabulary(vocabulary)
    for command in (dedup, tokenize, vocabulary):
        command.add_argument(
            *("-v", "--verbose"), action="store_true", default=argparse.SUPPRESS, help="say more, and show tracebacks"
        )


def _configure_vocabulary(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN", help="clean caption file, .pkl or .json")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write")
    parser.add_argument("--size", type=int, default=30_000, metavar="N", help="word pieces at most (%(default)s)")
    parser.add_argument("--width", type=int, default=768, metavar="N", help="of the layers (%(default)s)")
    parser.add_argument("--layers", type=int, default=12, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--heads", type=int, default=12, metavar="N", help="of each layer (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Clean, learn a vocabulary or tokenize.

    Returns:
        0, or 1 when some videos could not be used.
    """
    return {"dedup": _dedup, "tokenize": _tokenize, "vocabulary": _vocabulary}[args.command](args)


def _dedup(args: argparse.Namespace) -> int:
    from mmpt.cli.progress import part_bar
    from mmpt.text.cleaning import clean, failures_path, open_source
    from mmpt.utils.parallel import cores

    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers is {args.workers}; it takes 1 or more processes")
    if args.seed < 0:
        raise ValueError(f"--seed is {args.seed}; it takes 0 or more")
    targets = [_file_in(path) for path in args.output]
    for target in targets:
        if args.source.exists() and target.exists() and target.samefile(args.source):
            raise ValueError(f"{target} is read and cannot be written at the same time; name another file with -o")
    entries, refused = open_source(args.source, language=args.language)
    with part_bar("videos") as bar:
        summary = clean(
            entries,
            targets,
            seed=args.seed,
            workers=args.workers or cores(),
            encoding=args.encoding,
            refused=refused,
            on_progress=bar.advance,
        )
    _print_cleaned(summary, targets)
    tell_notes(summary)
    return _report(summary.failures, summary.failed, failures_path(targets[0]))


def _file_in(path: Path) -> Path:
    """Give the file to write; a path without an ending is a folder."""
    return path / CLEAN if path.is_dir() or not path.suffix else path


def _print_cleaned(summary: "Summary", targets: list[Path]) -> None:
    from mmpt.cli.console import out

    tally = summary.tally
    wordless = f", {summary.wordless:,} of them without a caption" if summary.wordless else ""
    out.print(f"videos    {summary.videos:,} read, {summary.written:,} written{wordless}, {summary.failed:,} failed")
    out.print(
        f"captions  {tally.captions:,} read, {tally.kept:,} written, {tally.merged:,} merged, {tally.dropped:,} empty"
    )
    out.print(
        f"          {tally.trimmed:,} pairs shared words; {tally.overlapping:,} overlapped in time, "
        f"{tally.disordered:,} out of order",
        soft_wrap=True,
    )
    for target in targets:
        out.print(f"written   {target}", soft_wrap=True)


def tell_notes(summary: "Summary") -> None:
    """Warn of subtitle files with lines that were left out, the first few one by one."""
    from mmpt.cli.console import err, legible

    for note in summary.notes:
        err.print(f"mmpt: warning: {legible(note)}", soft_wrap=True)
    if summary.noted > len(summary.notes):
        err.print(f"mmpt: warning: lines of {summary.noted:,} subtitle files in all were left out", soft_wrap=True)


def _report(first: list[str], count: int, path: Path) -> int:
    """Report failures, and return the exit code."""
    from mmpt.cli.console import err

    for line in first:
        err.print(f"mmpt: failed: {line}", soft_wrap=True)
    if count:
        err.print(f"mmpt: {count:,} failed; the reasons are in {path}", soft_wrap=True)
    return 1 if count else 0


def _tokenize(args: argparse.Namespace) -> int:
    source, outputs, bert_name = _tokenize_inputs(args)
    folders = [path for path in outputs if path.suffix != ".pkl"]
    metas = {folder: _read_metas(folder, args.meta) for folder in folders}
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.progress import part_bar
    from mmpt.text.pretokenize import Encoder, open_store, write_pickle, write_shards

    with quiet_transformers():
        encoder = Encoder(bert_name)
    code = 0
    for output in outputs:
        scratch = output if output in metas else output.parent
        with part_bar("videos") as bar, open_store(source, scratch) as store:
            if output in metas:
                made = write_shards(
                    store, metas[output], output, encoder, overwrite=args.overwrite, on_progress=bar.advance
                )
            else:
                made = write_pickle(store, output, encoder, on_progress=bar.advance)
        _print_tokenized(made, output)
        stem = f"{source.stem}.{encoder.name}" if output in metas else output.stem
        code |= _report(made.failures, made.failed, scratch / f"{stem}.failures.jsonl")
    return code


def _vocabulary(args: argparse.Namespace) -> int:
    from mmpt.cli.console import out
    from mmpt.text.captionfiles import read_entries
    from mmpt.text.captions import parse_captions
    from mmpt.text.vocabulary import BertShape, learn_word_pieces, write_bert

    shape = BertShape(args.width, args.layers, args.heads)
    if args.output.is_file():
        raise ValueError(f"{args.output} is a file; -o takes a folder")
    if weights := sorted(path.name for path in args.output.glob("*") if path.suffix in WEIGHTS):
        raise ValueError(
            f"{args.output} holds the weights of a model ({weights[0]}), which fit its own vocabulary; name another "
            "folder with -o"
        )
    texts = (
        text for entry in read_entries(args.source) for text in parse_captions(entry.value, backwards=True).text if text
    )
    pieces = learn_word_pieces(texts, args.size)
    write_bert(args.output, pieces, shape)
    out.print(f"{args.output}: {len(pieces):,} word pieces; layers of width {shape.width}", soft_wrap=True)
    return 0


def _tokenize_inputs(args: argparse.Namespace) -> tuple[Path, list[Path], str]:
    """Give the caption file, the outputs and the BERT, from the options or from an original YAML file."""
    source, outputs, bert_name = args.source, args.output, args.bert_name
    if args.config:
        from mmpt.text.pretokenize import read_original_config
        from mmpt.utils.places import locate

        given = read_original_config(args.config)
        source, bert_name = source or locate(given.caption_pkl_path), bert_name or given.bert_name
        pickle = source.with_name(f"{source.stem}.{Path(bert_name).name}.pkl")
        outputs = outputs or [locate(given.target_dir), pickle]
    for value, name in ((source, "IN"), (outputs, "-o OUT"), (bert_name, "--bert-name NAME")):
        if not value:
            raise ValueError(
                f"{name} is missing; for example: mmpt captions tokenize raw_caption_dedup.pkl "
                "--bert-name bert-base-uncased -o shards"
            )
    for output in outputs:
        if source.is_file() and output.exists() and output.samefile(source):
            raise ValueError(f"{output} is read and cannot be written at the same time; name another file with -o")
    return source, outputs, bert_name


def _read_metas(folder: Path, given: list[Path] | None) -> dict[str, dict[int, list[str]]]:
    from mmpt.text.pretokenize import META
    from mmpt.utils.shardedtensor import read_meta

    files = given or sorted(folder.glob(f"*{META}"))
    if not files:
        raise ValueError(
            f"{folder} holds no <split>{META}, which says which video goes into which shard; make the shards of the "
            f"features first (mmpt shard FEATURES -o {folder}), or name the files with --meta; for one file of all "
            "videos give -o NAME.pkl"
        )
    if wrong := [path for path in files if not path.name.endswith(META)]:
        raise ValueError(f"--meta is {wrong[0]}; it takes files named <split>{META}, such as train{META}")
    return {path.name.removesuffix(META): read_meta(path) for path in files}


def _print_tokenized(made: "Tokenized", output: Path) -> None:
    from mmpt.cli.console import out

    kept = f", {made.kept:,} were there" if made.kept else ""
    what = "1 file" if output.suffix == ".pkl" else f"{len(made.files):,} shard{'' if len(made.files) == 1 else 's'}"
    out.print(f"{output}: {made.videos:,} videos; {what} with {made.clips:,} clips written{kept}", soft_wrap=True)
    if made.backwards:
        out.print(
            f"{made.backwards:,} clips end before they start, as cleaning leaves them where captions are disordered"
        )
    if made.unlisted:
        out.print(f"{made.unlisted:,} videos with captions are in no shard")
    if output.suffix != ".pkl" and made.videos:
        out.print(f"for the YAML file: tfeat_dir: {made.beginning}", soft_wrap=True)
