"""Items -> one batch, and clips of a video -> rows of a batch. Shapes: B items, K clips of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmpt.processors.aligner import BatchItems

ORDERS = ("clips", "even_first", "cluster")


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put items together.

    Args:
        items: at least one; all with the same keys.

    Returns:
        Tensors, arrays and numbers stacked to tensors (B, ...); strings, None and everything else as lists.

    Raises:
        ValueError: the items differ in their keys, or in the shape of one of them.
    """
    if isinstance(items, BatchItems):
        return items.batch
    keys = items[0].keys()
    if other := next((item.keys() for item in items if item.keys() != keys), None):
        raise ValueError(f"an item has {sorted(keys)}, another {sorted(other)}; items of one batch have the same keys")
    return {key: _stack(key, [item[key] for item in items]) for key in keys}


def flatten_clips(batch: Mapping[str, Any], clips: int, *, order: str = "clips") -> dict[str, Any]:
    """Make each clip a row of its own.

    Args:
        batch: tensors (B, K, ...), of which only those with K = `clips` change; what belongs to a whole video stays.
        clips: K; nothing is flattened when it is 1.
        order: ``"clips"`` keeps a video's clips together, as Task does; ``"even_first"`` puts the even rows before
            the odd ones, as VLMTask; ``"cluster"`` is for a batch of one cluster, (1, B, K, ...), as VideoRetriTask's.

    Returns:
        Tensors (B * K, ...), without copying where the order allows it.

    Raises:
        ValueError: the order is unknown, or K is odd where even rows come first.
    """
    if order not in ORDERS:
        raise ValueError(f"the order is {order!r}; it takes {', '.join(ORDERS)}")
    if order == "cluster":
        batch = {key: value[0] if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    if clips == 1 and order != "cluster":
        return dict(batch)
    flat = {key: value.flatten(0, 1) if _has_clips(value, clips) else value for key, value in batch.items()}
    if order != "even_first":
        return flat
    if clips % 2:
        raise ValueError(
            f"there are {clips} clips of a video; pairs of clips take an even number (dataset.subsampling)"
        )
    return {
        key: torch.cat([value[0::2], value[1::2]]) if _has_clips(batch[key], clips) else value
        for key, value in flat.items()
    }


def _has_clips(value: Any, clips: int) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[1] == clips


def _stack(key: str, values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, bool | int | float | np.number | np.bool_):
        return torch.tensor(values)
    if not isinstance(first, torch.Tensor | np.ndarray):
        return values
    tensors = [torch.as_tensor(value) for value in values]
    if len(shapes := {tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ValueError(
            f"the items' {key!r} have the shapes {sorted(shapes)}, which make no batch; this data set takes a batch "
            "size of 1"
        )
    return torch.stack(tensors)
