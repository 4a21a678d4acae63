"""Items, the order they come in, and the batches made of them."""

from mmpt.datasets.collate import collate, flatten_clips
from mmpt.datasets.loader import build_loader, build_order, make_loader
from mmpt.datasets.mmdataset import ItemKey, MMDataset, build_dataset
from mmpt.datasets.samplers import ClusterBatchSampler, EpochBatchSampler, EpochSampler, consecutive_clusters

__all__ = [
    "ClusterBatchSampler",
    "EpochBatchSampler",
    "EpochSampler",
    "ItemKey",
    "MMDataset",
    "build_dataset",
    "build_loader",
    "build_order",
    "collate",
    "consecutive_clusters",
    "flatten_clips",
    "make_loader",
]
