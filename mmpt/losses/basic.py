"""Losses of single predictions: labels, and numbers.

Shapes: C classes; `...` any further ones.
"""

import torch
import torch.nn.functional as F

from mmpt.losses.base import Loss
from mmpt.utils.registry import register

_Named = dict[str, torch.Tensor]


@register("loss")
class CrossEntropy(Loss):
    """Finds the one right label."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float (..., C).
            targets: int64 (...), -100 where there is no label.

        Returns:
            `cross_entropy`: mean over the labels.
        """
        return {"cross_entropy": F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))}


@register("loss")
class ArgmaxCrossEntropy(Loss):
    """Finds the one right label, given as scores of which the largest counts."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float (N, C).
            targets: (N, C), for example one-hot.

        Returns:
            `cross_entropy`: mean over rows.
        """
        return {"cross_entropy": F.cross_entropy(logits, targets.argmax(dim=1))}


@register("loss")
class BCE(Loss):
    """Says of each label, by itself, whether it holds."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float (N, C).
            targets: float (N, C) or (1, N, C), 0 to 1.

        Returns:
            `bce`: mean over all of them.
        """
        return {"bce": F.binary_cross_entropy_with_logits(logits, targets.squeeze(0).to(logits.dtype))}


@register("loss")
class MSE(Loss):
    """Comes close to numbers: squared distance."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float, any shape.
            targets: float, the same shape.

        Returns:
            `mse`: mean.
        """
        return {"mse": F.mse_loss(logits, targets)}


@register("loss")
class L1(Loss):
    """Comes close to numbers: absolute distance."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float, any shape.
            targets: float, the same shape.

        Returns:
            `l1`: mean.
        """
        return {"l1": F.l1_loss(logits, targets)}


@register("loss")
class SmoothL1(Loss):
    """Comes close to numbers: squared distance below 1, absolute above."""

    def forward(self, *, logits: torch.Tensor, targets: torch.Tensor, **_: object) -> _Named:
        """Compute the loss.

        Args:
            logits: float, any shape.
            targets: float, the same shape.

        Returns:
            `smooth_l1`: mean.
        """
        return {"smooth_l1": F.smooth_l1_loss(logits, targets)}
