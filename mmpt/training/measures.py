"""What is measured of batches: their losses, brought from the device together, and their size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def read(values: Sequence[Mapping[str, torch.Tensor]]) -> list[dict[str, float]]:
    """Bring numbers from the device, which is waited for once, however many they are.

    Args:
        values: name -> scalar tensor, for each batch; all on one device.

    Returns:
        The same as numbers.
    """
    scalars = [value.detach() for named in values for value in named.values()]
    numbers = iter(torch.stack(scalars).tolist() if scalars else ())
    return [{name: next(numbers) for name in named} for named in values]


def weighted(losses: Sequence[Mapping[str, float]], weights: Sequence[float], names: Sequence[str]) -> list[float]:
    """Add up the losses of batches.

    Args:
        losses: name -> number, for each batch.
        weights: of the batches.
        names: which losses.

    Returns:
        A sum for each name, 0 where there is no batch.
    """
    return [sum((w * found[name] for w, found in zip(weights, losses, strict=True)), 0.0) for name in names]


def examples(batch: Mapping[str, Any]) -> int:
    """Count the examples of a batch.

    Args:
        batch: `caps` int64 (..., T).

    Returns:
        How many texts it has.
    """
    return batch["caps"].numel() // batch["caps"].shape[-1]


def with_total(parts: Mapping[str, float]) -> dict[str, float]:
    """Put what is minimised before its parts.

    Args:
        parts: name -> loss.

    Returns:
        `loss`, the sum, then the parts; a part of that name is the sum.
    """
    return {"loss": 0.0, **parts} | {"loss": sum(parts.values())}
