"""A DataLoader whose batches depend on (seed, epoch) only, whatever the number of workers."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from mmpt.config.training import BATCH_SAMPLERS
from mmpt.datasets.collate import collate
from mmpt.datasets.mmdataset import ItemKey, MMDataset
from mmpt.datasets.samplers import (
    ClusterBatchSampler,
    DistinctVideosBatchSampler,
    EpochBatchSampler,
    EpochSampler,
    FixedBatchSampler,
    consecutive_batches,
    consecutive_clusters,
)
from mmpt.datasets.threads import ThreadLoader
from mmpt.processors.how2_clips import ClipAligner

logger = logging.getLogger(__name__)


def build_loader(
    dataset: MMDataset,
    batch_size: int | None = None,
    *,
    seed: int = 0,
    shuffle: bool = True,
    batch_sampler: str = "shuffled",
    clusters: Sequence[Sequence[int]] | None = None,
    num_workers: int = 0,
    start_method: str | None = None,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader:
    """Make batches. Say the epoch with `loader.batch_sampler.set_epoch(epoch)` before each pass.

    Args:
        dataset: gives the items.
        batch_size: examples of a batch. Where an item holds several clips of a video it is divided by their number
            and rounded down. With clusters a batch is a cluster: it takes None, or 1 as YAML files say.
        seed: of the order.
        shuffle: draw a new order each epoch.
        batch_sampler: which items make a batch, where the order is drawn: ``"shuffled"``, any; ``"consecutive"``,
            the next ones of the list, so that only the order of the batches is drawn; ``"distinct_videos"``, any of
            different videos. A last batch that is not full is left out of shuffled items and of clusters, where the
            next epoch leaves out others.
        clusters: indices of the videos of each batch. By default, where the data set names `num_video_per_batch`,
            that many consecutive videos.
        num_workers: how many make batches ahead; with 0 a batch is made when it is asked for.
        start_method: what they are: ``"thread"``, or processes that stay from epoch to epoch and start by ``"fork"``,
            ``"spawn"`` or ``"forkserver"``. By default threads where the aligner lays out whole batches, which is
            faster than handing them over, and else processes that start in the system's way.
        rank: this process's number in a distributed run.
        world: how many processes there are.
        pin_memory: for copies to a GPU that do not wait.

    Returns:
        The loader; its batches are what `collate` gives.

    Raises:
        ValueError: a batch would be empty, or there is none.
    """
    order = build_order(
        dataset,
        batch_size,
        seed=seed,
        shuffle=shuffle,
        batch_sampler=batch_sampler,
        clusters=clusters,
        rank=rank,
        world=world,
    )
    return make_loader(
        dataset, order, seed=seed, num_workers=num_workers, start_method=start_method, pin_memory=pin_memory
    )


def build_order(
    dataset: MMDataset,
    batch_size: int | None = None,
    *,
    seed: int = 0,
    shuffle: bool = True,
    batch_sampler: str = "shuffled",
    clusters: Sequence[Sequence[int]] | None = None,
    rank: int = 0,
    world: int = 1,
) -> FixedBatchSampler | EpochBatchSampler:
    """Say which items make the batches of an epoch, and in which order they come.

    Args:
        dataset: gives the items.
        batch_size: as for `build_loader`, and so are all others.
        seed: of the order.
        shuffle: draw a new order each epoch.
        batch_sampler: which items make a batch.
        clusters: indices of the videos of each batch.
        rank: this process's number.
        world: how many processes there are.

    Returns:
        The batch sampler.

    Raises:
        ValueError: a batch would be empty, or there is none.
    """
    if batch_sampler not in BATCH_SAMPLERS:
        raise ValueError(f"batch_sampler is {batch_sampler!r}; use one of {', '.join(BATCH_SAMPLERS)}")
    size = dataset.meta.config.num_video_per_batch
    if clusters is None and size is not None and batch_size in (None, 1):
        clusters = _first_clusters(len(dataset), size, world, drop_last=shuffle)
    if clusters is not None:
        return ClusterBatchSampler(clusters, seed=seed, shuffle=shuffle, rank=rank, world=world)
    size = _items(batch_size, dataset.aligner.clips)
    if shuffle and batch_sampler == "consecutive":
        return FixedBatchSampler(consecutive_batches(len(dataset), size), seed=seed, rank=rank, world=world)
    if shuffle and batch_sampler == "distinct_videos":
        videos = [dataset.meta.video_of(index) for index in range(len(dataset))]
        return DistinctVideosBatchSampler(videos, size, seed=seed, rank=rank, world=world)
    items = EpochSampler(len(dataset), seed=seed, shuffle=shuffle, rank=rank, world=world)
    sampler = EpochBatchSampler(items, size, drop_last=shuffle)
    _tell(sampler, len(dataset))
    return sampler


def make_loader(
    dataset: MMDataset,
    batch_sampler: Iterable[list[ItemKey]],
    *,
    seed: int = 0,
    num_workers: int = 0,
    start_method: str | None = None,
    pin_memory: bool = False,
) -> DataLoader:
    """Make a loader for batches that are chosen.

    Args:
        dataset: gives the items.
        batch_sampler: gives the keys of each batch; it is asked anew for each pass.
        seed: of the workers.
        num_workers: as for `build_loader`, and so are the others.
        start_method: what the workers are.
        pin_memory: for copies to a GPU that do not wait.

    Returns:
        The loader.
    """
    options: dict[str, Any] = {
        "batch_sampler": batch_sampler,
        "collate_fn": collate,
        "generator": torch.Generator().manual_seed(seed),  # else its workers' seed is drawn from the global state
        "pin_memory": pin_memory,
    }
    if start_method is None and isinstance(dataset.aligner, ClipAligner):
        start_method = "thread"
    if num_workers and start_method == "thread":
        return ThreadLoader(dataset, threads=num_workers, **options)
    return DataLoader(
        dataset,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        multiprocessing_context=start_method if num_workers else None,
        **options,
    )


def _first_clusters(length: int, size: int, world: int, *, drop_last: bool) -> list[range]:
    if not drop_last:
        return consecutive_batches(length, max(1, min(size, length // world)))
    if clusters := consecutive_clusters(length, size, multiple=world):
        return clusters
    raise ValueError(
        f"{length:,} videos give no cluster of {size} for each of {world} processes; set dataset.num_video_per_batch "
        f"to at most {length // world}"
    )


def _items(batch_size: int | None, clips: int) -> int:
    if batch_size is None or batch_size < clips:
        raise ValueError(
            f"the batch size is {batch_size} examples, and an item holds {clips}, the clips of one video; it takes "
            f"{clips} or more"
        )
    return batch_size // clips


def _tell(sampler: EpochBatchSampler, length: int) -> None:
    if not len(sampler):
        raise ValueError(
            f"{length:,} items give no batch of {sampler.batch_size} for each of {sampler.sampler.world} processes; "
            "take a smaller batch size"
        )
    if sampler.dropped:
        logger.info("%d of %d items of an epoch come in no batch", sampler.dropped, length)
