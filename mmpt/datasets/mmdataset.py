"""Items: Meta -> Video -> Text -> Aligner."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from mmpt.config.schema import DatasetConfig
from mmpt.processors.aligner import Aligner
from mmpt.processors.base import MetaProcessor, TextProcessor, VideoProcessor
from mmpt.utils.registry import lookup
from mmpt.utils.seeding import generator

logger = logging.getLogger(__name__)
NAMED = 5  # missing videos that the log names


class ItemKey(NamedTuple):
    """Which item in which pass. The epoch travels with the key, so that workers keep no state.

    Attributes:
        epoch: which pass over the data, from 0 on.
        index: which item.
    """

    epoch: int
    index: int


@dataclass(frozen=True, eq=False)
class MMDataset(Dataset[dict[str, Any]]):
    """The items of a split. It never changes: an item depends on (seed, epoch, index) only.

    Attributes:
        meta: lists the items.
        video: reads an item's features.
        text: makes an item's token ids.
        aligner: lays out an item.
        seed: of all draws.
    """

    meta: MetaProcessor
    video: VideoProcessor
    text: TextProcessor
    aligner: Aligner
    seed: int = field(default=0, kw_only=True)

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of videos that are listed, but have no features."""
        return self.meta.missing

    def __getitem__(self, key: int | ItemKey) -> dict[str, Any]:
        """Make an item.

        Args:
            key: its index, in epoch 0; or epoch and index.

        Returns:
            What the aligner gives.

        Raises:
            IndexError: there are fewer items.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | ItemKey]) -> list[dict[str, Any]]:
        """Make many items at once; a DataLoader asks for a batch this way.

        Args:
            keys: as for one item.

        Returns:
            The same items as one by one, in order; where the aligner fills whole batches they are parts of one, which
            `collate` gives without copying.

        Raises:
            IndexError: there are fewer items.
        """
        keys = [self._key(key) for key in keys]
        rngs = [generator(self.seed, *key) for key in keys]
        ids = [self.meta[key.index] for key in keys]
        videos = [self.video(video_id) for video_id, _ in ids]
        texts = [self.text(text_id, rng) for (_, text_id), rng in zip(ids, rngs, strict=True)]
        return self.aligner.align_all([video_id for video_id, _ in ids], videos, texts, rngs)

    def _key(self, key: int | ItemKey) -> ItemKey:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of a data set of {len(self):,}")
        return ItemKey(epoch, index % len(self))


def build_dataset(config: DatasetConfig, *, seed: int = 0) -> MMDataset:
    """Make the data set of a configuration. Missing videos are told in the log, and listed in `missing`.

    Args:
        config: the `dataset:` block.
        seed: of all draws.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: a list, an annotation file or a folder of features is not there.
        ValueError: a class is not named or not registered, or a file is not what it should be, or gives no item.
    """
    meta = _make("meta_processor", config)
    dataset = MMDataset(
        meta, _make("video_processor", config), _make("text_processor", config), _make("aligner", config), seed=seed
    )
    count, missing = len(dataset), dataset.missing
    if missing:
        named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        logger.warning(
            "%s: %s listed videos have no features in %s and are left out (%s); %s items remain",
            *(meta.listing.source, f"{len(missing):,}", config.vfeat_dir, named, f"{count:,}"),
        )
    return dataset


def _make(kind: str, config: DatasetConfig) -> Any:
    name = getattr(config, kind)
    if name is None:
        raise ValueError(f"dataset.{kind} is not set; it names the class that plays this part for the split")
    return lookup(kind, name, where=f"dataset.{kind}", may_import=True)(config)
