"""The batches of an epoch, numbered over all processes, so that a training can go on from any of them.

Batch n of an epoch is the same for one process and for many, which take turns: with two, the first gets the batches
0, 2, 4, ...
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch

from mmpt.datasets.loader import build_order, make_loader
from mmpt.datasets.mmdataset import ItemKey, MMDataset
from mmpt.datasets.samplers import ClusterBatchSampler

Keys = list[ItemKey]


class Chosen:
    """Batches to read next; a loader's workers stay while they change."""

    def __init__(self) -> None:
        self.batches: Sequence[Keys] = ()

    def __iter__(self) -> Iterator[Keys]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Batches:
    """Makes the batches of a split.

    Args:
        dataset: gives the items.
        batch_size: examples of a batch; None where a batch is a cluster.
        seed: of the order.
        shuffle: draw the order for each epoch.
        batch_sampler: which items make a batch then; see `build_loader`.
        num_workers: how many make batches ahead.
        device: where batches go.
    """

    def __init__(
        self,
        dataset: MMDataset,
        batch_size: int | None,
        *,
        seed: int,
        shuffle: bool,
        batch_sampler: str = "shuffled",
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset = dataset
        self.device = torch.device(device)
        self._order = build_order(dataset, batch_size, seed=seed, shuffle=shuffle, batch_sampler=batch_sampler)
        self._chosen = Chosen()
        self._loader = make_loader(
            dataset, self._chosen, seed=seed, num_workers=num_workers, pin_memory=self.device.type == "cuda"
        )

    def use(self, clusters: Sequence[Sequence[int]]) -> None:
        """Make other clusters the batches of the epochs that follow.

        Args:
            clusters: indices of the videos of each.

        Raises:
            ValueError: the batches are no clusters.
        """
        if not isinstance(self._order, ClusterBatchSampler):
            raise ValueError(
                "this task makes batches of retrieved videos, and the data set has none; set "
                "dataset.num_video_per_batch, and fairseq.dataset.batch_size to 1"
            )
        self._order.plan(self._order.epoch, clusters)

    @property
    def clusters(self) -> Sequence[Sequence[int]] | None:
        """The clusters that are in use; None where batches are none."""
        return self._order.clusters if isinstance(self._order, ClusterBatchSampler) else None

    def of_epoch(self, epoch: int) -> list[Keys]:
        """List the batches of an epoch, of all processes.

        Args:
            epoch: which pass, from 0 on.

        Returns:
            The keys of each batch.
        """
        self._order.set_epoch(epoch)
        return list(self._order)

    def read(self, batches: Sequence[Keys]) -> Generator[dict[str, Any], None, None]:
        """Read batches.

        Args:
            batches: their keys.

        Yields:
            Each batch, on the device.
        """
        self._chosen.batches = batches
        reading = iter(self._loader)
        try:
            for batch in reading:
                yield to_device(batch, self.device)
        finally:  # also where the one who asked stops before the end
            if isinstance(reading, Generator):
                reading.close()


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Move the tensors of a batch.

    Args:
        batch: tensors and lists.
        device: where to.

    Returns:
        The same, without copying what is there already.
    """
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
