"""What stands on a command line: videos, folders of videos and sentences, told apart."""

import argparse
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmpt.video.finding import ends_like_video, no_video_in, videos_below
from mmpt.video.timing import MAX_GAP_S, MAX_GAP_VARIABLE

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
USE_TEXT = "a sentence that is also a file's name, or looks like one, goes to --text"


def split_inputs(
    inputs: list[str], on_unreadable: Callable[[str], None] = lambda reason: None
) -> tuple[list[Path], list[str]]:
    """Part the videos from the sentences.

    Args:
        inputs: what stands on the command line.
        on_unreadable: called with a sentence for each folder that cannot be read.

    Returns:
        Videos, with folders replaced by the videos below them, and sentences. What exists, or ends as a video file
        does, is a video.

    Raises:
        ValueError: a word is empty or the address of a site, or a folder holds no video.
    """
    videos: list[Path] = []
    texts: list[str] = []
    for word in inputs:
        if not word.strip():
            raise ValueError("one of the words is empty; give videos and sentences (is a shell variable not set?)")
        if ADDRESS.fullmatch(word):
            raise ValueError(
                f"{word} is an address, and only files on this machine are read; download it first, then give the "
                f"file ({USE_TEXT})"
            )
        path = _expanded(word)
        if is_folder(path):
            videos += _inside(path, on_unreadable)
        elif _exists(path) or (ends_like_video(path.name) and not word.endswith(".")):  # sentences end in dots
            videos.append(path)
        else:
            texts.append(word)
    return videos, texts


def find_videos(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Find videos where nothing else than videos and folders is given.

    Args:
        words: files, whatever their ending, and folders.

    Returns:
        The files, folders replaced by the videos below them in order of their names; and what could not be looked
        into, one sentence each. What is not there is among the files, for whoever reads it to say so.

    Raises:
        ValueError: a word is empty or the address of a site, or a folder holds no video.
    """
    videos: list[Path] = []
    unreadable: list[str] = []
    for word in words:
        if not word.strip():
            raise ValueError("one of the words is empty; give videos or folders (is a shell variable not set?)")
        if ADDRESS.fullmatch(word):
            raise ValueError(f"{word} is an address, and only files on this machine are read; download it first")
        path = _expanded(word)
        if not is_folder(path):
            videos.append(path)
            continue
        found, barred = videos_below(path)
        if not found and not barred:
            raise ValueError(no_video_in(path))
        videos += found
        unreadable += barred
    return videos, unreadable


def add_max_gap(parser: argparse.ArgumentParser) -> None:
    """Add --max-gap, the longest time for which one frame may be repeated."""
    parser.add_argument(
        "--max-gap",
        type=_seconds,
        metavar="S",
        help=f"seconds that a video may stand still before it counts as damaged ({MAX_GAP_S:g}; inf: no limit)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


@contextmanager
def max_gap_of(args: argparse.Namespace) -> Iterator[None]:
    """Apply a command's --max-gap to every reader of videos, in other processes too."""
    before, bound = os.environ.get(MAX_GAP_VARIABLE), getattr(args, "max_gap", None)
    if bound is None:
        yield
        return
    os.environ[MAX_GAP_VARIABLE] = str(bound)
    try:
        yield
    finally:
        if before is None:
            del os.environ[MAX_GAP_VARIABLE]
        else:
            os.environ[MAX_GAP_VARIABLE] = before


def is_folder(path: Path) -> bool:
    """Whether a path, which may be no path at all, leads to a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _expanded(word: str) -> Path:
    try:
        return Path(word).expanduser()
    except RuntimeError:  # "~name" where nobody has that name
        return Path(word)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a sentence longer than a file's name may be
        return False


def _inside(folder: Path, on_unreadable: Callable[[str], None]) -> list[Path]:
    found, barred = videos_below(folder)
    if not found and not barred:
        raise ValueError(f"{no_video_in(folder)} ({USE_TEXT})")
    for reason in barred:
        on_unreadable(reason)
    return found
