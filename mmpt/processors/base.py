"""The four roles that make an item, the public extension point: Meta -> Video -> Text -> Aligner.

A role's class is registered under the name that YAML files use, takes one frozen DatasetConfig, and reads nothing
until it is used. Keys of its own it declares as a dataclass under `Options`.
"""

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmpt.config.schema import DatasetConfig
from mmpt.config.typed import fill
from mmpt.text.tokenizer import load_tokenizer
from mmpt.utils.featurefile import read_features
from mmpt.utils.places import locate
from mmpt.utils.registry import register

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
    """

    items: Sequence[tuple[Any, Any]]
    source: str
    missing: tuple[str, ...] = ()


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
        """What `read` gives, read once.

        Raises:
            ValueError: there is no item.
        """
        listing = self.read()
        if not listing.items:
            where = f"; none of its {len(listing.missing):,} videos has features in {self.config.vfeat_dir}"
            hint = f", for example {listing.missing[0]}.npy" if listing.missing else ""
            raise ValueError(
                f"{listing.source} gives no item for the split {self.config.split!r}"
                f"{where + hint if listing.missing else '; it lists nothing'}"
            )
        return listing

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of videos that are listed, but have no features."""
        return self.listing.missing

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
        """
        if self.config.vfeat_dir is None:
            return None
        folder = existing(self.config.vfeat_dir, "dataset.vfeat_dir")
        with os.scandir(folder) as entries:
            return frozenset(entry.name[:-4] for entry in entries if entry.name.endswith(".npy"))


@register("video_processor")
class VideoProcessor(Processor):
    """Reads the features of a whole video from `<vfeat_dir>/<video id>.npy`."""

    def __call__(self, video_id: Any) -> np.ndarray:
        """Read an item's features.

        Args:
            video_id: the video.

        Returns:
            (seconds, width), in the file's dtype.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or the configuration names no `vfeat_dir`.
        """
        return read_features(self.folder / f"{video_id}.npy").array

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


@functools.lru_cache(maxsize=8)
def cached_tokenizer(bert_name: str) -> "PreTrainedTokenizerBase":
    """Load a tokenizer once a process.

    Args:
        bert_name: hub name or folder.

    Returns:
        The tokenizer, shared: do not change it.
    """
    return load_tokenizer(bert_name)
