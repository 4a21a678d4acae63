"""`mmpt segment`: which of some labels fits when in a video, without training on them."""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.cli.watching import add_video
from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    import numpy as np

    from mmpt.cli.watching import Watched
    from mmpt.search.timeline import Part

EXAMPLES = """examples:
  mmpt segment pancakes.mp4 --labels "pour the batter,flip the pancake,eat"
  mmpt segment pancakes.mp4 --labels @labels.txt --plot pancakes.png
  mmpt segment pancakes.mp4 --labels "a dog,a cat" --background none --json

A label that says in a few words what is seen works better than a single word.
How well one fits is told in deviations: how far it stands out, second by
second, from sentences that have nothing to do with the video. A second that no
label fits by --background of them is left without one.
"""
BACKGROUND, SWITCH = 3.0, 3.0  # deviations; the second times seconds
NONE = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    add_video(parser)
    parser.add_argument(
        "--labels",
        required=True,
        metavar="A,B,C",
        help="labels with commas between them, or @FILE with one on each line",
    )
    parser.add_argument(
        "--background",
        type=_level,
        default=BACKGROUND,
        metavar="X",
        help="deviations that a label has to stand out by (%(default)g); none: every second gets a label",
    )
    parser.add_argument(
        "--switch",
        type=float,
        default=SWITCH,
        metavar="X",
        help="what a change of label costs, in deviations times seconds (%(default)g); more gives fewer, longer parts",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, the labels' curves included")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw curves and parts over a strip of the video")


def run(args: argparse.Namespace) -> int:
    """Segment, and write.

    Returns:
        0.
    """
    from mmpt.cli.watching import watch
    from mmpt.video.errors import check_file

    if not (math.isfinite(args.switch) and args.switch >= 0):
        raise ValueError(f"--switch is {args.switch}; a change costs 0 or more")
    if args.plot:
        from mmpt.cli.plots import check_target

        check_target(args.plot)
    labels = read_labels(args.labels)
    check_file(args.video)
    from mmpt.search.timeline import UNRELATED, label_seconds, stand_out

    watched = watch(args, [*labels, *UNRELATED])
    curves = stand_out(watched.scores[:, : len(labels)], watched.scores[:, len(labels) :])
    parts = label_seconds(curves, args.background, args.switch)
    if args.json:
        json.dump(_as_json(args, labels, curves, parts, watched), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print(labels, curves, parts, watched.duration)
    if args.plot:
        _plot(args, labels, curves, parts, watched)
    return 0


def read_labels(given: str) -> list[str]:
    """Take the labels apart.

    Args:
        given: labels with commas between them, or ``@`` and a file with one on each line.

    Returns:
        The labels, each once.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a label is empty, or stands there twice.
    """
    from mmpt.cli.watching import read_lines

    if given.startswith("@"):
        labels = read_lines(Path(given[1:]), "label")
    else:
        labels = [" ".join(label.split()) for label in given.split(",")]
        if not all(labels):
            raise ValueError(f"--labels is {given!r}, in which a label is empty; write them as in: a dog,a cat")
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"the label {twice!r} stands there twice; each label is given once")
    return labels


def _level(word: str) -> float | None:
    if word.lower() == NONE:
        return None
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{word!r} is neither a number nor {NONE}")
    return value


def _mean(curves: "np.ndarray", part: "Part") -> float | None:
    """How far a part's label stands out in it, on average; None without a label."""
    return None if part.label < 0 else float(curves[part.start : part.end, part.label].mean())


def _as_json(
    args: argparse.Namespace, labels: list[str], curves: "np.ndarray", parts: list["Part"], watched: "Watched"
) -> dict:
    rows = []
    for part in parts:
        mean = _mean(curves, part)
        rows.append(
            {
                "start": part.start,
                "end": round(min(part.end, watched.duration), 3),
                "label": None if mean is None else labels[part.label],
                "deviations": None if mean is None else round(mean, 3),
            }
        )
    return {
        "video": os.fspath(args.video),
        "seconds": len(curves),
        "model": args.model,
        "background": args.background,
        "switch": args.switch,
        "damage": watched.damage,
        "parts": rows,
        "curves": {
            label: [round(value, 3) for value in curve.tolist()] for label, curve in zip(labels, curves.T, strict=True)
        },
    }


def _print(labels: list[str], curves: "np.ndarray", parts: list["Part"], duration: float) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("label")
    table.add_column("deviations", justify="right", no_wrap=True)
    for part in parts:
        span = f"{timecode(part.start)}\N{EN DASH}{timecode(min(part.end, duration))}"
        mean = _mean(curves, part)
        name = Text("none", style="dim") if mean is None else Text(labels[part.label])
        table.add_row(span, name, "" if mean is None else f"{mean:.1f}")
    out.print(table)


def _plot(
    args: argparse.Namespace, labels: list[str], curves: "np.ndarray", parts: list["Part"], watched: "Watched"
) -> None:
    from mmpt.cli.console import err
    from mmpt.cli.plots import save_figure, thumbnails
    from mmpt.cli.plots_timeline import draw_parts

    strip = [frame for _, frame in thumbnails(args.video, count=8, size=160)]
    spans = [(part.start, part.end, part.label) for part in parts]
    title = one_line(args.video.name)
    figure = draw_parts(spans, labels, title, watched.duration, strip, curves=curves, level=args.background)
    save_figure(args.plot, figure)
    err.print(f"drawn: {args.plot}", soft_wrap=True)
