"""`mmpt evaluate`: a model's answers on a data set, and what they are worth."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.cli.evaluation_plots import Pictures
    from mmpt.config import RunConfig
    from mmpt.evaluators.cards import Card
    from mmpt.evaluators.predicting import Row

EXAMPLES = """examples:
  mmpt evaluate projects/retri/videoclip/test_youcook_zs.yaml
  mmpt evaluate projects/mtm/vlm/test_vtt.yaml protocol=paper
  mmpt evaluate projects/mtm/vlm/test_coin.yaml --all-checkpoints
  mmpt evaluate projects/mtm/vlm/test_coin.yaml --plot --videos my_videos
  mmpt evaluate projects/mtm/vlm/test_coin.yaml --check

Writes card.json, card.md and predictions.jsonl below eval.save_path. Give the
same command again after any stop: what is answered is not asked again.
"""
SPLIT = "papers' split"  # what a card says of another one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from mmpt.cli import evaluation_plots, preparing

    parser.epilog = EXAMPLES
    preparing.configure(parser)
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="where results go (eval.save_path)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (fairseq.common_eval.path)")
    which.add_argument("--all-checkpoints", action="store_true", help="evaluate each checkpoint of the run")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    evaluation_plots.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, or with --check prepare only.

    Returns:
        0; 1 when some of many checkpoints could not be evaluated.
    """
    from mmpt.cli.evaluation_plots import read_arguments

    pictures = read_arguments(args)
    paths = _checkpoints(args)
    if paths:  # the file's own checkpoint need not be there when others are evaluated
        args.overrides = [*args.overrides, f"fairseq.common_eval.path={json.dumps(str(paths[0].absolute()))}"]
    if args.check:
        return _check(args)
    from mmpt.cli.console import out
    from mmpt.cli.preparing import check_file
    from mmpt.utils.places import locate

    config = check_file(args.yaml, args.overrides, evaluation=True)
    folder = args.out or (None if config.save_path is None else locate(config.save_path))
    if folder is None:
        raise ValueError(f"{config.source} does not say where results go; set eval.save_path, or give --out FOLDER")
    if args.all_checkpoints:
        return _sweep(config, paths, folder, args.device, pictures)
    _show(_evaluate(config, None, folder, args.device, pictures), config.task.protocol)
    out.print(f"written: {folder}/card.json, card.md, predictions.jsonl", soft_wrap=True)
    return 0


def _checkpoints(args: argparse.Namespace) -> list[Path]:
    """The checkpoints that the arguments name; nothing where they leave it to the file."""
    from mmpt.config import load_config
    from mmpt.evaluators.running import checkpoints_of

    if args.all_checkpoints:
        return checkpoints_of(load_config(args.yaml, args.overrides))
    return [args.checkpoint] if args.checkpoint else []


def _check(args: argparse.Namespace) -> int:
    from mmpt.cli.preparing import check_file, prepare
    from mmpt.evaluators import running

    prepare(args, evaluation=True)
    config = check_file(args.yaml, args.overrides, evaluation=True)
    if config.checkpoint.path is not None:
        running.prepare(config, device=args.device)
    return 0


def _sweep(config: "RunConfig", paths: list[Path], folder: Path, device: str, pictures: "Pictures | None") -> int:
    """Evaluate checkpoint after checkpoint; one that cannot be read does not stop the others."""
    from mmpt.cli.console import out
    from mmpt.utils.content import remembered_hash

    cards: dict[Path, Card] = {}
    same: dict[str, Path] = {}  # hash -> the first checkpoint with these weights
    failed: list[Exception] = []
    for path in paths:
        try:
            answers = folder / same.setdefault(remembered_hash(path), path).stem
            cards[path] = _evaluate(config, path, folder / path.stem, device, pictures, answers=answers)
        except (ValueError, OSError) as error:
            failed.append(error)
            sys.stderr.write(f"{path} could not be evaluated: {error}\n")
    if not cards:
        raise failed[0]
    _show_sweep(cards, config.task.protocol)
    stems = [path.stem for path in cards]
    out.print(f"written: {folder}/{stems[0]}/card.json, card.md, predictions.jsonl", soft_wrap=True, end="")
    out.print(f"; the same in {', '.join(stems[1:])}" if stems[1:] else "", soft_wrap=True)
    return 1 if failed else 0


def _evaluate(
    config: "RunConfig",
    checkpoint: Path | None,
    folder: Path,
    device: str,
    pictures: "Pictures | None",
    *,
    answers: Path | None = None,
) -> "Card":
    """Write card, answers and pictures into a folder; what was said is kept below `answers`, by default there too."""
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.evaluation_plots import draw
    from mmpt.cli.progress import count_bar
    from mmpt.evaluators.cards import write_card
    from mmpt.evaluators.running import evaluate, prepare

    with quiet_transformers():
        evaluation = prepare(config, checkpoint=checkpoint, device=device)
    with count_bar(f"asking {evaluation.checkpoint.name}", len(evaluation.dataset)) as advance:
        card, rows = evaluate(evaluation, folder=answers or folder, on_progress=lambda done, _: advance(done))
    write_card(card, folder)
    _write_answers(folder / "predictions.jsonl", rows, card)
    if pictures is not None:
        draw(evaluation, rows, folder, pictures)
    return card


def _write_answers(path: Path, rows: "list[Row]", card: "Card") -> None:
    """What can be read of the answers, a line for each item; with what each adds to the measures."""
    from mmpt.utils.files import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for number, row in enumerate(rows):
            told = {key: _readable(value) for key, value in row.items()}
            if len(card.examples) == len(rows):
                told["measures"] = {name: parts[number] for name, parts in card.parts.items()}
            plain = {key: value for key, value in told.items() if value is not None}
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _readable(value: Any) -> Any:
    """Labels of seconds as they are, steps as the seconds that each stands at; None for vectors and scores."""
    import numpy as np

    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == bool and value.ndim == 2:  # (T, K)
        return [np.flatnonzero(step).tolist() for step in value.T]
    return value.tolist() if np.issubdtype(value.dtype, np.integer) else None


def _show(card: "Card", protocol: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.evaluators.cards import number

    other = "paper" if protocol == "fixed" else "fixed"
    names = [*card.results[protocol], *(name for name in card.results[other] if name not in card.results[protocol])]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("measure", min_width=max(map(len, names)))
    for name in (protocol, "95 %", other, *card.baselines):
        table.add_column(name, justify="right")
    for name in names:
        first, second = card.results[protocol].get(name, {}), card.results[other].get(name, {})
        interval = f"{number(first.get('low'))}\N{EN DASH}{number(first.get('high'))}" if first else ""
        baselines = [number(values.get(name)) for values in card.baselines.values()]
        table.add_row(name, number(first.get("value")), interval, number(second.get("value")), *baselines)
    told: dict[str, Any] = dict(card.protocol)
    out.print(Text(card.title), soft_wrap=True)
    out.print(Text(told["task"]))
    out.print(table)
    out.print(
        f"{told['items']:,} items of {told['videos']:,} videos, {len(told['missing']):,} videos missing; "
        f"window {told['window']}, stride {told['stride']}; {card.wall_seconds:.0f} s"
    )
    if told["missing"]:
        out.print("With videos missing, the numbers cannot be compared with those of the whole data set.")
    if SPLIT in told:
        out.print(f"The papers' split: {told[SPLIT]}.")


def _show_sweep(cards: "dict[Path, Card]", protocol: str) -> None:
    from rich import box
    from rich.table import Table

    from mmpt.cli.console import out
    from mmpt.evaluators.cards import headline, number

    name = headline(next(iter(cards.values())))
    table = Table("checkpoint", box=box.SIMPLE_HEAD)
    for column in (f"{name} ({protocol})", "95 %"):
        table.add_column(column, justify="right")
    told = {path: card.results[protocol][name] for path, card in cards.items()}
    for path, result in told.items():
        interval = f"{number(result['low'])}\N{EN DASH}{number(result['high'])}"
        table.add_row(path.name, number(result["value"]), interval)
    sign = 1 if next(iter(told.values()))["higher_is_better"] else -1
    scores = {p: float("-inf") if told[p]["value"] is None else sign * told[p]["value"] for p in told}
    best = [path.name for path, score in scores.items() if score == max(scores.values())]
    named = best[0] if len(best) == 1 else f"{len(best)} are equally good, {', '.join(best)}"
    out.print(table)
    out.print(
        f"best: {named}. Chosen on the very data that it is measured on, such a value is optimistic: choose on "
        "validation data, and report that checkpoint's value here.",
    )
