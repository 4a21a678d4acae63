"""One vector out of many."""

import torch


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average the vectors that a mask keeps.

    Args:
        states: float (B, S, D).
        mask: bool (B, S); a row without any kept vector gives zeros.

    Returns:
        float (B, D).
    """
    weights = mask.to(states.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(weights.unsqueeze(1), states).squeeze(1)  # (B, 1, S) x (B, S, D) -> (B, D)
