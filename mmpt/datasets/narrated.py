"""One's own narrated videos as a data set: which are for training, and the YAML file that says where all is."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.text.captionfiles import Entry, read_entries
from mmpt.text.captions import parse_captions
from mmpt.utils.files import atomic_path
from mmpt.utils.names import normal_name
from mmpt.utils.places import home

TEMPLATE = "retri/videoclip/how2.yaml"  # the project's file that the written one includes
PLANS = {"retri_clips": 4, "per_rank": False}  # a quarter of the published cost; alike with any number of processes
HEAD = """\
# Written by `mmpt prepare`: {included} with the paths of this data.
# Change what you like; the command leaves a file that was changed as it is.
"""


@dataclass
class Matching:
    """Parts the captions of videos that there are from those of others.

    Names are one in whichever of Unicode's forms they are: a video's file from macOS is named in NFD, a list in NFC.

    Args:
        videos: ids of the videos that there are.

    Attributes:
        matched: captions that passed.
        unused: ids of the others, each once.
    """

    videos: Collection[str]
    matched: int = 0
    unused: dict[str, None] = field(default_factory=dict)

    def passing(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Let the captions of the videos pass.

        Args:
            entries: of a caption file or folder.

        Yields:
            Those of the videos, under the ids that the videos have.
        """
        known = {normal_name(video): video for video in self.videos}
        for entry in entries:
            video_id = entry.video_id if entry.video_id in self.videos else known.get(normal_name(entry.video_id))
            if video_id is not None:
                self.matched += 1
                yield replace(entry, video_id=video_id)
            else:
                self.unused[entry.video_id] = None


def split_ids(ids: Iterable[str], val_part: float) -> dict[str, list[str]]:
    """Part videos into those for training and those for validation, by the hash of their ids.

    A video stays on its side when others are added; only where a side would be empty, the nearest one moves.

    Args:
        ids: of the videos; at least two.
        val_part: the part for validation, between 0 and 1.

    Returns:
        ``"train"`` and ``"val"``, sorted; each has at least one.

    Raises:
        ValueError: there are fewer than two videos, or the part is none.
    """
    if not 0 < val_part < 1:
        raise ValueError(f"the part for validation is {val_part}; it takes a number between 0 and 1, such as 0.05")
    ranked = sorted(set(ids), key=lambda video_id: (_fraction(video_id), video_id))
    if len(ranked) < 2:
        raise ValueError(
            f"{len(ranked)} video can be used, and at least 2 are needed: one to train, and one to validate with"
        )
    count = sum(_fraction(video_id) < val_part for video_id in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    return {"train": sorted(ranked[count:]), "val": sorted(ranked[:count])}


def keep_places(path: Path, ids: Iterable[str]) -> list[str]:
    """Put videos in the order of the list that is there, so that shards of it stay as they are when others come.

    Args:
        path: a list of videos, one id a line, that may be there.
        ids: of the videos that there are now.

    Returns:
        Those of the list at their places, sorted ones behind them; where one is gone, a new or the last one stands.
    """
    there = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    placed = list(dict.fromkeys(there))
    wanted = set(ids)
    new = sorted(wanted.difference(placed))
    gone = [place for place, video_id in enumerate(placed) if video_id not in wanted]
    for place, video_id in zip(gone, new, strict=False):
        placed[place] = video_id
    placed += new[len(gone) :]
    for place in reversed(gone[len(new) :]):
        placed[place] = placed[-1]
        placed.pop()
    return placed


def count_captions(captions: Path) -> dict[str, int]:
    """Count the captions of each video.

    Args:
        captions: a clean caption file.

    Returns:
        Video id -> how many, in the file's order.
    """
    return {entry.video_id: len(parse_captions(entry.value, backwards=True)) for entry in read_entries(captions)}


def count_beyond(captions: Path, seconds: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Count the captions that begin behind the end of their video: their clips would be without a second of it.

    Args:
        captions: a clean caption file.
        seconds: video id -> the length of its features.

    Returns:
        Video id -> (captions beyond, all captions), of the videos that have such captions, in the file's order.
    """
    found = {}
    for entry in read_entries(captions):
        if entry.video_id not in seconds:
            continue
        start = parse_captions(entry.value, backwards=True).start
        if beyond := sum(begin >= seconds[entry.video_id] for begin in start):
            found[entry.video_id] = beyond, len(start)
    return found


def write_list(path: Path, ids: Iterable[str]) -> None:
    """Write a list of videos, one id a line; an equal file is left as it is.

    Args:
        path: the file.
        ids: of the videos.
    """
    _write_changed(path, "".join(f"{video_id}\n" for video_id in ids))


def documented(path: Path) -> str:
    """Write a path as YAML files hold it.

    Args:
        path: a file or folder.

    Returns:
        From the current folder or $MMPT_HOME where it lies below, else absolute.
    """
    absolute = path.absolute()
    base = home().absolute()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(absolute)


def write_yaml(path: Path, dataset: Mapping[str, Any], train_videos: int) -> bool:
    """Write the YAML file of a pre-training on this data.

    Args:
        path: the file; one that a user has changed is left as it is.
        dataset: the `dataset:` keys that differ from the project's file: paths, and what the features are.
        train_videos: how many there are; with fewer than a cluster takes, clusters become smaller.

    Returns:
        Whether the file says this: False where a user's file was left.
    """
    template = find_project_file(TEMPLATE)
    size = load_config(template).dataset.num_video_per_batch
    smaller = {"num_video_per_batch": train_videos} if size is not None and train_videos < size else {}
    run = f"runs/{path.parent.resolve().name}"
    content = {
        "includes": f"projects/{TEMPLATE}",
        **PLANS,
        "dataset": {**dataset, **smaller},
        "fairseq": {"checkpoint": {"save_dir": run}},
        "eval": {"save_path": run},
    }
    text = HEAD.format(included=content["includes"]) + yaml.safe_dump(content, sort_keys=False)
    mark = f"# {hashlib.sha256(text.encode()).hexdigest()[:16]}\n"
    if path.exists() and not _is_ours(path):
        return False
    _write_changed(path, text + mark)
    return True


def _fraction(video_id: str) -> float:
    """Give a number from 0 to 1 that depends on the id only."""
    digest = hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _is_ours(path: Path) -> bool:
    """Whether a file is as we wrote it: its last line is the hash of the others."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return bool(lines) and lines[-1] == f"# {hashlib.sha256(''.join(lines[:-1]).encode()).hexdigest()[:16]}\n"


def _write_changed(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
        return
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
