"""The order of items, a pure function of (seed, epoch); it lives in the main process.

Every rank gets as many items as the others, so that none waits for ever; what is left over is counted in `dropped`.
Another epoch leaves out others where the order is shuffled.
"""

import logging
from collections.abc import Iterator, Sequence

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
        if batch_size < 1:
            raise ValueError(f"the batch size is {batch_size}; it takes 1 or more")
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


class ClusterBatchSampler(Sampler[list[ItemKey]]):
    """One cluster of videos a batch.

    Args:
        clusters: indices of the videos of each cluster, for the epochs until `plan` gives others.
        seed: of the order.
        shuffle: draw a new order of the clusters each epoch.
        rank: this process's number.
        world: how many processes share the clusters.

    Attributes:
        epoch: the pass that the next iteration makes.
        dropped: clusters of an epoch that no rank gets.
    """

    def __init__(
        self,
        clusters: Sequence[Sequence[int]],
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        _check_rank(rank, world)
        self.seed, self.shuffle, self.rank, self.world = seed, shuffle, rank, world
        self.plan(0, clusters)

    def plan(self, epoch: int, clusters: Sequence[Sequence[int]]) -> None:
        """Say which pass comes next, and what its clusters are: the same on every rank.

        Args:
            epoch: the pass.
            clusters: indices of the videos of each cluster.

        Raises:
            ValueError: there are fewer clusters than ranks.
        """
        if len(clusters) < self.world:
            raise ValueError(f"there are {len(clusters)} clusters for {self.world} processes; each takes at least one")
        self.epoch = epoch
        self._clusters = tuple(tuple(cluster) for cluster in clusters)
        self.dropped = len(clusters) % self.world
        if self.dropped:
            logger.info("epoch %d: %d of %d clusters left out", epoch, self.dropped, len(clusters))

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the videos of each cluster."""
        return self._clusters

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next, with the clusters that there are."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._clusters) // self.world

    def __iter__(self) -> Iterator[list[ItemKey]]:
        epoch, clusters = self.epoch, self._clusters
        rng = generator(self.seed, epoch, ORDER)
        order = rng.permutation(len(clusters)).tolist() if self.shuffle else range(len(clusters))
        for number in order[self.rank : len(clusters) - self.dropped : self.world]:
            yield [ItemKey(epoch, index) for index in clusters[number]]


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
