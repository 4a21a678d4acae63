"""The order of items, a pure function of (seed, epoch); it lives in the main process.

Every rank gets as many items as the others, so that none waits for ever; what is left over is counted in `dropped`.
Another epoch leaves out others where the order is shuffled.
"""

import logging
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from mmpt.datasets.mmdataset import ItemKey
from mmpt.utils.seeding import generator

logger = logging.getLogger(__name__)
ORDER = 1 << 40  # in the place of an item's index: no item has it, so that the order shares no draws with one
ORIGINAL_RANKS = 8  # processes of the original's training; it makes clusters for as many


class EpochSampler(Sampler[ItemKey]):
    """All items of an epoch, each once.

    Args:
        length: how many items there are.
        seed: of the order.
        shuffle: draw a new order each epoch; otherwise as listed.
        rank: this process's number.
        world: how many processes share the items.

    Attributes:
        epoch: the pass that the next iteration makes.
        dropped: items of an epoch that no rank gets.
    """

    def __init__(self, length: int, *, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1) -> None:
        _check_rank(rank, world)
        self.length, self.seed, self.shuffle, self.rank, self.world = length, seed, shuffle, rank, world
        self.epoch = 0
        self.dropped = length % world

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world

    def __iter__(self) -> Iterator[ItemKey]:
        epoch = self.epoch
        rng = generator(self.seed, epoch, ORDER)
        order = rng.permutation(self.length).tolist() if self.shuffle else range(self.length)
        for index in order[self.rank : self.length - self.dropped : self.world]:
            yield ItemKey(epoch, index)


class EpochBatchSampler(Sampler[list[ItemKey]]):
    """Batches of an `EpochSampler`.

    Args:
        sampler: gives the items.
        batch_size: items of a batch.
        drop_last: leave out a last batch that is not full.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, *, drop_last: bool) -> None:
        _check_batch_size(batch_size)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next."""
        self.sampler.set_epoch(epoch)

    @property
    def dropped(self) -> int:
        """Items of an epoch that come in no batch of any rank."""
        left = len(self.sampler) % self.batch_size if self.drop_last else 0
        return self.sampler.dropped + left * self.sampler.world

    def __len__(self) -> int:
        full, left = divmod(len(self.sampler), self.batch_size)
        return full + (left > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[ItemKey]]:
        keys = list(self.sampler)
        for number in range(len(self)):
            yield keys[number * self.batch_size : (number + 1) * self.batch_size]


class FixedBatchSampler(Sampler[list[ItemKey]]):
    """Batches that are the same in each epoch, in an order that is drawn for each epoch.

    Args:
        batches: indices of the items of each batch.
        seed: of the order.
        shuffle: draw a new order of the batches each epoch.
        rank: this process's number.
        world: how many processes share the batches.

    Attributes:
        epoch: the pass that the next iteration makes.
        dropped: batches of an epoch that no rank gets.
    """

    def __init__(
        self, batches: Sequence[Sequence[int]], *, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        _check_rank(rank, world)
        self.seed, self.shuffle, self.rank, self.world = seed, shuffle, rank, world
        self.epoch = 0
        self._set(batches)

    def _set(self, batches: Sequence[Sequence[int]]) -> None:
        self._batches = tuple(tuple(batch) for batch in batches)
        self.dropped = len(batches) % self.world

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches) // self.world

    def __iter__(self) -> Iterator[list[ItemKey]]:
        epoch = self.epoch
        batches = self._order(generator(self.seed, epoch, ORDER))
        for batch in batches[self.rank : len(batches) - self.dropped : self.world]:
            yield [ItemKey(epoch, index) for index in batch]

    def _order(self, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        """All batches of an epoch, in the order in which the ranks take them."""
        batches = self._batches
        return [batches[number] for number in rng.permutation(len(batches))] if self.shuffle else batches


class ClusterBatchSampler(FixedBatchSampler):
    """One cluster of videos a batch.

    Args:
        clusters: indices of the videos of each cluster, for the epochs until `plan` gives others.
        keys: see `FixedBatchSampler`.
    """

    def plan(self, epoch: int, clusters: Sequence[Sequence[int]]) -> None:
        """Say which pass comes next, and what its clusters are: the same on every rank.

        Args:
            epoch: the pass.
            clusters: indices of the videos of each cluster.

        Raises:
            ValueError: there are fewer clusters than ranks.
        """
        self.epoch = epoch
        self._set(clusters)
        if self.dropped:
            logger.info("epoch %d: %d of %d clusters left out", epoch, self.dropped, len(clusters))

    def _set(self, batches: Sequence[Sequence[int]]) -> None:
        if len(batches) < self.world:
            raise ValueError(f"there are {len(batches)} clusters for {self.world} processes; each takes at least one")
        super()._set(batches)

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the videos of each cluster."""
        return self._batches


class DistinctVideosBatchSampler(FixedBatchSampler):
    """Batches that hold no video twice, drawn for each epoch; each item once an epoch.

    Args:
        videos: the video of each item.
        batch_size: most items of a batch.
        keys: see `FixedBatchSampler`.
    """

    def __init__(self, videos: Sequence[Hashable], batch_size: int, **keys: Any) -> None:
        _check_batch_size(batch_size)
        self._videos, self._batch_size = videos, batch_size
        super().__init__(distinct_video_batches(videos, batch_size, np.random.default_rng(0)), **keys)

    def _order(self, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        return distinct_video_batches(self._videos, self._batch_size, rng)


def distinct_video_batches(videos: Sequence[Hashable], batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Draw batches in which no video comes twice.

    All batches are dealt one item a round, in an order that each round draws; a video's items are dealt one after the
    other, so that they fall into different batches.

    Args:
        videos: the video of each item.
        batch_size: most items of a batch.
        rng: the draw's generator.

    Returns:
        Indices of the items of each batch; sizes differ by one at most. There are as few batches as hold all items:
        as many as a video has items, where that is more than the batch size asks for.
    """
    items: dict[Hashable, list[int]] = {}
    for index, video in enumerate(videos):
        items.setdefault(video, []).append(index)
    count = max(-(-len(videos) // batch_size), max(map(len, items.values()), default=0))
    groups = list(items.values())
    batches: list[list[int]] = [[] for _ in range(count)]
    waiting: list[int] = []  # batches that still get an item in this round
    for number in rng.permutation(len(groups)):
        group = groups[number]
        places, waiting = waiting[: len(group)], waiting[len(group) :]
        if lacking := len(group) - len(places):
            dealt = set(places)
            waiting = sorted(rng.permutation(count).tolist(), key=dealt.__contains__)  # those that have the video last
            places, waiting = places + waiting[:lacking], waiting[lacking:]
        for place, index in zip(places, rng.permutation(group).tolist(), strict=True):
            batches[place].append(index)
    return batches


def consecutive_batches(length: int, size: int) -> list[range]:
    """Cut items into batches as they are listed; the last one may be smaller."""
    return [range(first, min(first + size, length)) for first in range(0, length, size)]


def consecutive_clusters(length: int, size: int, *, multiple: int = ORIGINAL_RANKS) -> list[range]:
    """Group videos as they are listed, which is what training begins with.

    Args:
        length: how many videos there are.
        size: videos of a cluster (`num_video_per_batch`).
        multiple: the number of clusters is a multiple of this; videos behind the last one are left out.

    Returns:
        Indices of the videos of each cluster.
    """
    count = length // (multiple * size) * multiple
    return [range(number * size, (number + 1) * size) for number in range(count)]


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank is {rank} of {world} processes; it takes 0 to {world - 1}")


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"the batch size is {batch_size}; it must be 1 or more")
