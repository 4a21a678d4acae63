"""The four roles that make an item, the public extension point: Meta -> Video -> Text -> Aligner.

A role's class is registered under the name that YAML files use, takes one frozen DatasetConfig, and reads nothing
until it is used. Keys of its own it declares as a dataclass under `Options`.
"""

import functools
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from mmpt.config.schema import DatasetConfig
from mmpt.config.typed import fill
from mmpt.text.tokenizer import find_bert, load_tokenizer
from mmpt.utils.featurefile import read_features
from mmpt.utils.names import name_forms
from mmpt.utils.places import locate
from mmpt.utils.registry import register
from mmpt.video.features import OneOrigin
from mmpt.video.finding import ends_like_video

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Item = TypeVar("Item")

logger = logging.getLogger(__name__)

TOLD = 5  # so many faults of a file are spelt out in the log


@dataclass(frozen=True)
class NoOptions:
    """What a class without keys of its own declares."""


class Processor:
    """What all roles share.

    Args:
        config: the `dataset:` block.

    Attributes:
        Options: a frozen dataclass, the keys of `config.extra` that the class reads.
        options: an instance of it.

    Raises:
        ValueError: one of those keys is missing or has the wrong type.
    """

    Options: ClassVar[type] = NoOptions

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config
        self.options: Any = read_options(self.Options, config)

    @functools.cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The tokenizer of `config.bert_name`, loaded at first use."""
        return cached_tokenizer(self.config.bert_name)


@dataclass(frozen=True)
class Listing:
    """What a data set's files list.

    Attributes:
        items: (video id, text id) of each item, in the order of the files; what an id is, is the data set's matter.
        source: the files that were read, for messages.
        missing: ids of videos that are listed, but have no features; each once, in order.
        faults: what is wrong with single rows of the files, and what was done about it; each says file and line or key.
        notes: what is left out of files that are as they were released; nothing is wrong with them.
    """

    items: Sequence[tuple[Any, Any]]
    source: str
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class MetaProcessor(Processor, ABC):
    """Lists the items of a split."""

    @abstractmethod
    def read(self) -> Listing:
        """Read the annotation files.

        Returns:
            The items, and what is missing.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file is not what it should be; the message says the file and the line or key.
        """

    @functools.cached_property
    def listing(self) -> Listing:
        """What `read` gives, read once; its faults go to the log.

        Raises:
            ValueError: there is no item.
        """
        listing = self.read()
        faults = _told(listing.faults)
        if not listing.items:
            raise ValueError(
                f"{listing.source} gives no item for the split {self.config.split!r}: "
                + self._why_empty(listing.missing)
                + (f"; {faults}" if faults else "")
            )
        for told in filter(None, (faults, *listing.notes)):
            logger.warning("%s", told)
        return listing

    def _why_empty(self, missing: tuple[str, ...]) -> str:
        if not missing:
            return "nothing that it lists can be used"
        names = " or ".join(f"{name}.npy" for name in stored_names(missing[0]))
        return (
            f"nothing that it lists can be used; {len(missing):,} videos have no features in {self.config.vfeat_dir} "
            f"(looked for {names}, for example): extract them, or point dataset.vfeat_dir at them"
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of videos that are listed, but have no features."""
        return self.listing.missing

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with single rows of the files."""
        return self.listing.faults

    @property
    def notes(self) -> tuple[str, ...]:
        """The entries that are left out of the files as released."""
        return self.listing.notes

    def __len__(self) -> int:
        return len(self.listing.items)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Give an item.

        Args:
            index: from 0 on.

        Returns:
            Video id and text id.
        """
        return self.listing.items[index]

    def video_of(self, index: int) -> str:
        """The video that an item is, or is a part of.

        Args:
            index: which item.

        Returns:
            The video's id; the first entry where items name a video and a part of it.
        """
        video = self[index][0]
        return str(video[0] if isinstance(video, tuple) else video)

    def split_path(self) -> Path:
        """Find the file that lists the split.

        Returns:
            `train_path`, `val_path` or `test_path`, at its place.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: the configuration does not name it.
        """
        key = {"train": "train_path", "valid": "val_path", "test": "test_path"}[self.config.split]
        return existing(getattr(self.config, key), f"dataset.{key}")

    def available(self) -> frozenset[str] | None:
        """List the videos that have a feature file.

        Returns:
            Their ids; None where the configuration names no `vfeat_dir`, so that nothing can be missing.

        Raises:
            FileNotFoundError: the folder is not there.
            ValueError: it cannot be read, or is a file.
        """
        if self.config.vfeat_dir is None:
            return None
        folder = existing(self.config.vfeat_dir, "dataset.vfeat_dir")
        try:
            with os.scandir(folder) as entries:
                return frozenset(entry.name[:-4] for entry in entries if entry.name.endswith(".npy"))
        except OSError as error:
            raise ValueError(
                f"dataset.vfeat_dir is {folder}, which cannot be read as a folder ({error.strerror})"
            ) from error

    def keep_available(
        self, items: Iterable[Item], video_of: Callable[[Item], str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """Leave out items whose video has no feature file.

        Args:
            items: what the files list.
            video_of: gives an item's video id.

        Returns:
            The items that have features, in order; and the ids of the videos that have none, each once.

        Raises:
            FileNotFoundError: the folder of features is not there.
        """
        stored = self.available()
        if stored is None:
            return list(items), ()
        kept: list[Item] = []
        missing: dict[str, None] = {}
        for item in items:
            if stored.isdisjoint(stored_names(video_of(item))):
                missing[video_of(item)] = None
            else:
                kept.append(item)
        return kept, tuple(missing)


@register("video_processor")
class VideoProcessor(Processor):
    """Reads the features of a whole video from `<vfeat_dir>/<video id>.npy`.

    Where a video's id has a video's ending, the file may be named with it or without.
    """

    def __call__(self, video_id: Any) -> np.ndarray:
        """Read an item's features.

        Args:
            video_id: the video.

        Returns:
            (seconds, width), in the file's dtype.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or holds other features than the configuration says or than those read
                before, or the configuration names no `vfeat_dir`.
        """
        path = feature_path(self.folder, str(video_id))
        found = read_features(path)
        self._origin.check(found.about, path)
        return found.array

    @functools.cached_property
    def _origin(self) -> OneOrigin:
        return OneOrigin(self.config.backbone, self.config.l2_normalize)

    @functools.cached_property
    def folder(self) -> Path:
        """The folder of feature files."""
        return existing(self.config.vfeat_dir, "dataset.vfeat_dir")


@register("text_processor")
class TextProcessor(Processor):
    """Makes the token ids of a text."""

    def __call__(self, text_id: Any, rng: np.random.Generator) -> Any:
        """Make an item's token ids.

        Args:
            text_id: the text itself.
            rng: the item's generator, for classes that draw one of several texts.

        Returns:
            Token ids without special tokens, a list of int.
        """
        return self.tokenize(text_id)

    def tokenize(self, text: str) -> list[int]:
        """Cut a text into word pieces.

        Args:
            text: the text.

        Returns:
            Token ids without special tokens.
        """
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # pyright: ignore


def read_options(cls: type, config: DatasetConfig) -> Any:
    """Fill a class's own keys.

    Args:
        cls: a dataclass.
        config: the `dataset:` block.

    Returns:
        An instance of `cls`; keys of `config.extra` that it does not know are left to others.

    Raises:
        ValueError: a key is missing or has the wrong type.
    """
    problems: list[str] = []
    own: Mapping[str, Any] = {e.name: config.extra[e.name] for e in fields(cls) if e.name in config.extra}
    filled = fill(cls, own, "dataset", problems)
    if filled is None:
        raise ValueError("\n".join(problems))
    return filled


def existing(path: str | None, key: str) -> Path:
    """Find what a key of the configuration points to.

    Args:
        path: its value.
        key: its dotted name, for messages.

    Returns:
        The path, from the current folder or $MMPT_HOME.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the key is not set.
    """
    if path is None:
        raise ValueError(f"{key} is not set, and this data set reads from it")
    found = locate(path)
    if not found.exists():
        raise FileNotFoundError(f"{key} is {path}, and nothing is at {found.absolute()}; point it at your data")
    return found


def stored_names(video_id: str) -> tuple[str, ...]:
    """Say what a video's features may be stored as.

    Args:
        video_id: the video's id, in some data sets with a video's ending.

    Returns:
        File names without .npy, the first choice first: `d0.mov` may lie in `d0.mov.npy` or in `d0.npy`, and what has
        an accent in the name of either of Unicode's forms.
    """
    names = (video_id, video_id.rpartition(".")[0]) if ends_like_video(video_id) else (video_id,)
    return tuple(form for name in names for form in name_forms(name))


def feature_path(folder: Path, video_id: str) -> Path:
    """Find a video's feature file.

    Args:
        folder: where the files lie.
        video_id: the video.

    Returns:
        The first of its possible places that has a file, or the first of all where none has.
    """
    places = [folder / f"{name}.npy" for name in stored_names(video_id)]
    return next((place for place in places if place.is_file()), places[0])


def cached_tokenizer(bert_name: str) -> "PreTrainedTokenizerBase":
    """Load a tokenizer once a process; again where the name stands for another folder, or files there have changed.

    Args:
        bert_name: hub name or folder.

    Returns:
        The tokenizer, shared: do not change it.

    Raises:
        FileNotFoundError: as for `load_tokenizer`.
    """
    place = Path(find_bert(bert_name))
    if not place.is_dir():
        return _tokenizer(bert_name, ())
    there = ((path.name, path.stat()) for path in place.iterdir() if path.suffix in (".json", ".txt"))
    return _tokenizer(str(place.absolute()), tuple(sorted((name, at.st_mtime_ns, at.st_size) for name, at in there)))


@functools.lru_cache(maxsize=8)
def _tokenizer(place: str, _files: tuple[tuple[str, int, int], ...]) -> "PreTrainedTokenizerBase":
    return load_tokenizer(place)


def _told(faults: Sequence[str]) -> str:
    """Some of the faults, and how many more there are; empty for none."""
    more = f"\n  and {len(faults) - TOLD:,} more" if len(faults) > TOLD else ""
    return f"{len(faults):,} fault{'s' * (len(faults) > 1)}:\n  " + "\n  ".join(faults[:TOLD]) + more if faults else ""
