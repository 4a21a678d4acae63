"""What commands that look at one video second by second share: its arguments, and its scores."""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LIST_MARK = re.compile(r"^(?:\d+[.)]|[-*\u2022])\s+")  # "1. ", "2) ", "- "


@dataclass(frozen=True, eq=False)
class Watched:
    """A video's seconds against sentences.

    Attributes:
        scores: float32 (seconds, sentences), dot products.
        duration: of the video, in seconds.
        damage: what could not be read of it, one sentence each.
    """

    scores: "np.ndarray"
    duration: float
    damage: tuple[str, ...]


def add_video(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a video, and the model to look at it with."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="videoclip", help="videoclip, vlm, a YAML file or a folder (%(default)s)")
    group.add_argument("--bert-name", metavar="FOLDER", help="folder or hub name of the BERT vocabulary to use")
    group.add_argument("--precision", choices=("fp32", "bf16"), help="of the video network (fp32)")
    group.add_argument("--runtime", choices=("torch", "openvino"), default="torch", help="of the video network")
    group.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    group.add_argument("--no-cache", action="store_true", help="neither read nor write the feature cache")


def watch(args: argparse.Namespace, texts: list[str]) -> Watched:
    """Score the seconds of a command's video against sentences.

    Args:
        args: the command's.
        texts: the sentences.

    Returns:
        The scores.

    Raises:
        FileNotFoundError: there is no such file, or weights are missing.
        ValueError: it is no video, a sentence is empty, or the model is none.
    """
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.progress import second_bar
    from mmpt.models.scorer import curves, load
    from mmpt.video.reader import probe

    says = probe(args.video).duration
    with quiet_transformers():
        scorer = load(
            args.model,
            device=args.device,
            precision=args.precision,
            runtime=args.runtime,
            bert_name=args.bert_name,
            use_cache=not args.no_cache,
        )
        encoded = scorer.encode_text(texts)
        with second_bar() as bar:
            bar.begin(args.video.name, 1, 1, says)
            video = scorer.encode_video(args.video, on_progress=bar.advance)
    scores = curves(video, encoded).numpy().T
    seconds = len(scores)
    return Watched(scores, says if says and seconds - 1 < says < seconds else float(seconds), video.damage)


def read_lines(path: Path, kind: str) -> list[str]:
    """Read sentences, one a line.

    Args:
        path: a text file; ``-`` reads what is piped in. Empty lines, and those that begin with ``#``, are passed over.
        kind: what a line is, for messages.

    Returns:
        The lines, without the marks of a list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file, no text in UTF-8, or has no line.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a text file with a {kind} on each line")
    if str(path) != "-" and not path.exists():
        raise FileNotFoundError(f"there is no file {path}; give a text file with a {kind} on each line")
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}, is no text in UTF-8; save the file as UTF-8") from None
    lines = [LIST_MARK.sub("", line.strip(), count=1) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path} has no {kind}; write one on each line")
    return lines
