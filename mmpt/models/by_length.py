"""Rows through a model, rows of like length together: models cut the padding behind the longest row of a batch."""

from collections.abc import Callable, Sequence

import torch

ROWS = 32  # at a time on a CPU: more are no faster there
ROWS_ON_A_GPU = 256


def compute_by_length(
    compute: Callable[..., torch.Tensor], real: torch.Tensor, columns: Sequence[torch.Tensor], device: torch.device
) -> torch.Tensor:
    """Compute something of rows.

    Args:
        compute: takes a part of every column, on the device, and gives a tensor with a row for each.
        real: bool (N, L), which places are used; at least one row.
        columns: (N, ...) each.
        device: where `compute` works.

    Returns:
        float32 (N, ...) on the CPU, in the order of the rows.
    """
    lengths = (real * torch.arange(1, real.shape[1] + 1)).amax(dim=1)
    order = lengths.argsort(descending=True, stable=True)  # the longest first: what needs most memory fails at once
    parts = [
        compute(*(column[rows].to(device) for column in columns)).float().cpu()
        for rows in order.split(ROWS if device.type == "cpu" else ROWS_ON_A_GPU)
    ]
    return torch.cat(parts)[order.argsort()]
