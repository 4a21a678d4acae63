"""What all losses share."""

from collections.abc import Mapping

import torch
from torch import nn


class Loss(nn.Module):
    """Computes named losses of a batch.

    A loss's `forward` names what it reads as keyword arguments and takes the batch's other keys without looking at
    them, so that the loop can hand over everything that the data set and the model gave.
    """

    def __call__(self, **batch: object) -> dict[str, torch.Tensor]:
        """Compute the losses.

        Args:
            batch: what the data set and the model gave, by name.

        Returns:
            Name -> scalar tensor.
        """
        return super().__call__(**batch)


def total(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Add up named losses.

    Args:
        losses: name -> scalar tensor, at least one.

    Returns:
        The scalar that is minimised.
    """
    return torch.stack(list(losses.values())).sum()
