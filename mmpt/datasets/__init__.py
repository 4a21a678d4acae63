"""Items, the order they come in, and the batches made of them."""

from mmpt.datasets.collate import collate, flatten_clips
from mmpt.datasets.loader import build_loader, build_order, make_loader
from mmpt.datasets.mmdataset import ItemKey, MMDataset, build_dataset
from mmpt.datasets.samplers import (
    ClusterBatchSampler,
    DistinctVideosBatchSampler,
    EpochBatchSampler,
    EpochSampler,
    FixedBatchSampler,
    consecutive_clusters,
    distinct_video_batches,
)

__all__ = [
    "ClusterBatchSampler",
    "DistinctVideosBatchSampler",
    "EpochBatchSampler",
    "EpochSampler",
    "FixedBatchSampler",
    "ItemKey",
    "MMDataset",
    "build_dataset",
    "build_loader",
    "build_order",
    "collate",
    "consecutive_clusters",
    "distinct_video_batches",
    "flatten_clips",
    "make_loader",
]
