"""`mmpt score`: videos against sentences."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.cli.inputs import USE_TEXT, add_max_gap, split_inputs
from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmpt.models.scorer import EncodedVideo, Scorer

EXAMPLES = """examples:
  mmpt score pancake.mkv "a woman flips a pancake" "two boys arm-wrestle"
  mmpt score ~/Videos --text "a dog runs" --json > scores.json
  mmpt score pancake.mkv "a woman flips a pancake" --plot pancake.png

A score is a plain dot product; it has no fixed scale, so compare scores of one
model. Of a video longer than the model takes at once (32 s) it is that of the
best window. Features are kept in the user's cache folder, so that a second call
on the same video decodes nothing and runs no video network.
"""
MAX_PLOTTED = 6  # sentences


@dataclass(frozen=True)
class Moment:
    """Where a video fits a sentence best.

    Args:
        score: of the best window, which is the video's score.
        window: its first second, and the second after its last.
        second: the one within that window where the curve is highest.
    """

    score: float
    window: tuple[int, int]
    second: int


@dataclass(frozen=True)
class Scored:
    """One video's results.

    Args:
        path: the video.
        windows: the windows' seconds, (start, end) each, end excluded.
        moments: the best of it, for each sentence.
        curves: float (sentences, seconds).
        damage: what could not be read of it, one sentence each.
    """

    path: Path
    windows: list[tuple[int, int]]
    moments: list[Moment]
    curves: "np.ndarray"
    damage: tuple[str, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("inputs", nargs="+", metavar="VIDEO|SENTENCE", help="video files or folders, then sentences")
    parser.add_argument(
        "--text", action="append", default=[], metavar="SENTENCE", help="a sentence, whatever it looks like"
    )
    parser.add_argument("--model", default="videoclip", help="videoclip, vlm, a YAML file or a folder (%(default)s)")
    parser.add_argument("--bert-name", metavar="FOLDER", help="folder or hub name of the BERT vocabulary to use")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="of the video network (fp32)")
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch", help="of the video network")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    add_max_gap(parser)
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the feature cache")
    parser.add_argument("--json", action="store_true", help="write JSON, curves included")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curve by second (a single video)")


def run(args: argparse.Namespace) -> int:
    """Score and print.

    Returns:
        0, or 1 when some videos could not be scored.
    """
    unreadable: list[str] = []
    videos, given = split_inputs(args.inputs, unreadable.append)
    texts = list(dict.fromkeys([*given, *args.text]))
    _check(args, videos, texts, unreadable)
    from mmpt.cli.console import err, quiet_transformers
    from mmpt.models.scorer import load

    if (repeated := len(given) + len(args.text) - len(texts)) > 0:
        err.print(f"mmpt: note: {repeated} of the sentences stand there already; each is scored once", soft_wrap=True)
    with quiet_transformers():
        scorer = load(
            args.model,
            device=args.device,
            precision=args.precision,
            runtime=args.runtime,
            bert_name=args.bert_name,
            use_cache=not args.no_cache,
        )
        results, failures = _score_all(scorer, videos, texts)
    failures += [("", reason) for reason in unreadable]
    if args.json:
        json.dump(_as_json(args.model, texts, results, failures), sys.stdout, indent=1)
        sys.stdout.write("\n")
    elif results:
        _print(texts, results)
    for path, reason in failures:
        about = reason if path in reason else f"{path}: {reason}"
        sys.stderr.write(f"mmpt: not scored: {one_line(about)}\n")
    if args.plot and results:
        _plot(args.plot, texts, results[0])
    return 1 if failures else 0


def best_moments(video: "EncodedVideo", texts: "torch.Tensor") -> list[Moment]:
    """Say where a video fits each text best.

    Args:
        video: the video.
        texts: float (N, D).

    Returns:
        One for each text. The curve may be highest in a window other than the one that gives the score; the moment is
        looked for in the latter only.
    """
    from mmpt.models.scorer import curves

    moments = []
    for scores, curve in zip(texts @ video.vectors.T, curves(video, texts), strict=True):  # (W,), (seconds,)
        number = int(scores.argmax())
        start, end = video.windows[number]
        moments.append(Moment(float(scores[number]), (start, end), start + int(curve[start:end].argmax())))
    return moments


def _check(args: argparse.Namespace, videos: list[Path], texts: list[str], unreadable: list[str]) -> None:
    """Refuse unusable arguments before any work."""
    if not videos and unreadable:
        raise ValueError("; ".join(unreadable))
    if not videos:
        raise ValueError(
            f"no video among {args.inputs}; give a file that exists, for example: mmpt score dog.mp4 'a dog'"
        )
    if not texts:
        raise ValueError(f"no sentence given; for example: mmpt score dog.mp4 'a dog runs' ({USE_TEXT})")
    for text in texts:
        if not text.strip():
            raise ValueError("a sentence is empty; every sentence takes at least one word")
    if not args.plot:
        return
    from mmpt.cli.plots import check_target

    check_target(args.plot)
    if len(videos) > 1:
        raise ValueError(f"--plot draws one video, and {len(videos)} were given")
    if len(texts) > MAX_PLOTTED:
        raise ValueError(f"--plot draws at most {MAX_PLOTTED} sentences, and {len(texts)} were given")


def _score_all(scorer: "Scorer", videos: list[Path], texts: list[str]) -> tuple[list[Scored], list[tuple[str, str]]]:
    from mmpt.cli.progress import second_bar
    from mmpt.models.scorer import curves
    from mmpt.video.errors import VideoError
    from mmpt.video.reader import probe

    encoded = scorer.encode_text(texts)
    results, failures = [], []
    with second_bar() as bar:
        for number, path in enumerate(videos, 1):
            try:
                if not path.exists():
                    failures.append((str(path), f"{path} does not exist; check the path ({USE_TEXT})"))
                    continue
                bar.begin(path.name, number, len(videos), probe(path).duration)
                video = scorer.encode_video(path, on_progress=bar.advance)
            except (VideoError, OSError) as error:
                if isinstance(error, FileNotFoundError) and path.exists():
                    raise  # the weights are missing, so every other video would fail too
                failures.append((str(path), str(error)))
                continue
            moments, lines = best_moments(video, encoded), curves(video, encoded).numpy()
            results.append(Scored(path, video.windows, moments, lines, video.damage))
    return results, failures


def _as_json(model: str, texts: list[str], results: list[Scored], failures: list[tuple[str, str]]) -> dict[str, Any]:
    videos = []
    for result in results:
        lines = zip(texts, result.moments, result.curves, strict=True)
        videos.append(
            {
                "video": str(result.path),
                "seconds": result.curves.shape[1],
                "windows": result.windows,
                "damage": result.damage,
                "scores": [
                    {
                        "text": text,
                        "score": round(moment.score, 6),
                        "best_window": moment.window,
                        "best_second": moment.second,
                        "curve": [round(float(value), 4) for value in curve],
                    }
                    for text, moment, curve in lines
                ],
            }
        )
    failed = [{"video": path, "error": reason} for path, reason in failures]
    return {"model": model, "texts": texts, "videos": videos, "failures": failed}


def _print(texts: list[str], results: list[Scored]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    if len(results) == 1:
        _print_one(texts, results[0])
        return
    for number, text in enumerate(texts, 1):
        out.print(Text(f"[{number}] {one_line(text)}"))
    caption = "score of the best window, and the best moment in it; bold: the best video"
    table = Table("video", box=box.SIMPLE_HEAD, caption=caption)
    best = [max(result.moments[index].score for result in results) for index in range(len(texts))]
    for number in range(1, len(texts) + 1):
        table.add_column(f"[{number}]", justify="right")
    for result in results:
        cells = [Text(result.path.name)]
        for moment, highest in zip(result.moments, best, strict=True):
            style = "bold" if moment.score == highest else ""
            cells.append(Text(f"{moment.score:.2f} at {timecode(moment.second)}", style=style))
        table.add_row(*cells)
    out.print(table)


def _print_one(texts: list[str], result: Scored) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    out.print(Text(str(result.path)), soft_wrap=True)
    several = len(result.windows) > 1
    table = Table("sentence", box=box.SIMPLE_HEAD)
    for name in ("score", *(["best window"] if several else []), "best moment"):
        table.add_column(name, justify="right")
    for text, moment in sorted(zip(texts, result.moments, strict=True), key=lambda pair: -pair[1].score):
        start, end = moment.window
        window = [f"{timecode(start)}\N{EN DASH}{timecode(end)}"] if several else []
        table.add_row(Text(text), f"{moment.score:.2f}", *window, timecode(moment.second))
    out.print(table)


def _plot(target: Path, texts: list[str], result: Scored) -> None:
    from mmpt.cli.console import err
    from mmpt.cli.plots import plot_curves, thumbnails

    seconds = result.curves.shape[1]
    strip = [frame for _, frame in thumbnails(result.path, count=8, size=160)]
    lines = dict(zip(texts, result.curves, strict=True))
    plot_curves(target, lines, strip, seconds, title=one_line(result.path.name))
    err.print(f"drawn: {target}", soft_wrap=True)
