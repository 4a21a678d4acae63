"""`mmpt score`: videos against sentences."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from mmpt.models.scorer import Scorer

EXAMPLES = """examples:
  mmpt score pancake.mkv "a woman flips a pancake" "two boys arm-wrestle"
  mmpt score ~/Videos --text "a dog runs" --json > scores.json
  mmpt score pancake.mkv "a woman flips a pancake" --plot pancake.png

A score is a plain dot product; it has no fixed scale, so compare scores of one
model. Of a video longer than the model takes at once (32 s) it is that of the
best window. Features are kept in the user's cache folder, so that a second call
on the same video is instant.
"""
VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)
MAX_PLOTTED = 6  # sentences


@dataclass(frozen=True)
class Scored:
    """One video's results.

    Args:
        path: the video.
        scores: float, one for each sentence.
        curves: float (sentences, seconds).
    """

    path: Path
    scores: list[float]
    curves: "np.ndarray"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("inputs", nargs="+", metavar="VIDEO|SENTENCE", help="video files or folders, then sentences")
    parser.add_argument("--text", action="append", default=[], metavar="SENTENCE", help="a sentence (may be repeated)")
    parser.add_argument("--model", default="videoclip", help="videoclip, vlm, a YAML file or a folder (%(default)s)")
    parser.add_argument("--bert-name", metavar="FOLDER", help="folder or hub name of the BERT vocabulary to use")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="of the video network (bf16 if the CPU has it)")
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch", help="of the video network")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the feature cache")
    parser.add_argument("--json", action="store_true", help="write JSON, curves included")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curve by second (a single video)")


def run(args: argparse.Namespace) -> int:
    """Score and print.

    Returns:
        0, or 1 when some videos could not be scored.
    """
    videos, texts = split_inputs(args.inputs)
    texts += args.text
    _check(args, videos, texts)
    from mmpt.models.scorer import load

    scorer = load(
        args.model,
        device=args.device,
        precision=args.precision,
        runtime=args.runtime,
        bert_name=args.bert_name,
        use_cache=not args.no_cache,
    )
    results, failures = _score_all(scorer, videos, texts)
    if args.json:
        json.dump(_as_json(args.model, texts, results, failures), sys.stdout, indent=1)
        sys.stdout.write("\n")
    elif results:
        _print(texts, results)
    for path, reason in failures:
        sys.stderr.write(f"mmpt: not scored: {reason if str(path) in reason else f'{path}: {reason}'}\n")
    if args.plot and results:
        _plot(args.plot, texts, results[0])
    return 1 if failures else 0


def split_inputs(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """Part the videos from the sentences.

    Args:
        inputs: what stands on the command line.

    Returns:
        Videos, with folders replaced by the videos below them, and sentences. What exists, or ends as a video file
        does, is a video.

    Raises:
        ValueError: a folder holds no video.
    """
    videos: list[Path] = []
    texts: list[str] = []
    for word in inputs:
        path = Path(word).expanduser()
        if _is_folder(path):
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
            if not inside:
                raise ValueError(f"{path} holds no video; known endings are {' '.join(sorted(VIDEO_SUFFIXES))}")
            videos += inside
        elif path.suffix.lower() in VIDEO_SUFFIXES or _exists(path):
            videos.append(path)
        else:
            texts.append(word)
    return videos, texts


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a sentence longer than a file's name may be
        return False


def _check(args: argparse.Namespace, videos: list[Path], texts: list[str]) -> None:
    if not videos:
        raise ValueError(
            f"no video among {args.inputs}; give a file that exists, for example: mmpt score dog.mp4 'a dog'"
        )
    if not texts:
        raise ValueError("no sentence given; for example: mmpt score dog.mp4 'a dog runs'")
    if args.plot and len(videos) > 1:
        raise ValueError(f"--plot draws one video, and {len(videos)} were given")
    if args.plot and len(texts) > MAX_PLOTTED:
        raise ValueError(f"--plot draws at most {MAX_PLOTTED} sentences, and {len(texts)} were given")


def _score_all(scorer: "Scorer", videos: list[Path], texts: list[str]) -> tuple[list[Scored], list[tuple[Path, str]]]:
    from mmpt.cli.progress import second_bar
    from mmpt.models.scorer import best_window, curves
    from mmpt.video.errors import VideoError
    from mmpt.video.reader import probe

    encoded = scorer.encode_text(texts)
    results, failures = [], []
    with second_bar() as bar:
        for number, path in enumerate(videos, 1):
            if not path.exists():
                failures.append((path, f"{path} does not exist"))
                continue
            try:
                bar.begin(path.name, number, len(videos), probe(path).duration)
                video = scorer.encode_video(path, on_progress=bar.advance)
            except VideoError as error:
                failures.append((path, str(error)))
                continue
            results.append(Scored(path, best_window(video, encoded).tolist(), curves(video, encoded).numpy()))
    return results, failures


def _as_json(model: str, texts: list[str], results: list[Scored], failures: list[tuple[Path, str]]) -> dict[str, Any]:
    videos = []
    for result in results:
        lines = zip(texts, result.scores, result.curves, strict=True)
        videos.append(
            {
                "video": str(result.path),
                "seconds": result.curves.shape[1],
                "scores": [
                    {
                        "text": text,
                        "score": round(score, 6),
                        "best_second": int(curve.argmax()),
                        "curve": [round(float(value), 4) for value in curve],
                    }
                    for text, score, curve in lines
                ],
            }
        )
    failed = [{"video": str(path), "error": reason} for path, reason in failures]
    return {"model": model, "texts": texts, "videos": videos, "failures": failed}


def _print(texts: list[str], results: list[Scored]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    if len(results) == 1:
        out.print(Text(str(results[0].path)))
        table = Table("sentence", box=box.SIMPLE_HEAD)
        table.add_column("score", justify="right")
        table.add_column("best moment", justify="right")
        order = sorted(range(len(texts)), key=lambda index: -results[0].scores[index])
        for index in order:
            moment = timecode(int(results[0].curves[index].argmax()))
            table.add_row(Text(texts[index]), f"{results[0].scores[index]:.2f}", moment)
        out.print(table)
        return
    for number, text in enumerate(texts, 1):
        out.print(Text(f"[{number}] {text}"))
    table = Table("video", box=box.SIMPLE_HEAD, caption="score at the best moment; bold: the best video of a sentence")
    best = [max(result.scores[index] for result in results) for index in range(len(texts))]
    for number in range(1, len(texts) + 1):
        table.add_column(f"[{number}]", justify="right")
    for result in results:
        cells = [Text(result.path.name)]
        for index, score in enumerate(result.scores):
            moment = timecode(int(result.curves[index].argmax()))
            cells.append(Text(f"{score:.2f} at {moment}", style="bold" if score == best[index] else ""))
        table.add_row(*cells)
    out.print(table)


def _plot(target: Path, texts: list[str], result: Scored) -> None:
    from mmpt.cli.console import err
    from mmpt.cli.plots import plot_curves, thumbnails

    seconds = result.curves.shape[1]
    strip = [frame for _, frame in thumbnails(result.path, count=8, size=160)]
    plot_curves(target, dict(zip(texts, result.curves, strict=True)), strip, seconds, title=result.path.name)
    err.print(f"drawn: {target}")
