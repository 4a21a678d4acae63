"""What a training does when a loss is no number: it stops before the weights are changed, and keeps the batch."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from mmpt.training.checkpoint import Progress
from mmpt.training.processes import Processes, SharedError
from mmpt.utils.files import atomic_path

NAMED = 5  # videos that a message names
Seen = tuple[int, Mapping[str, Any], Mapping[str, torch.Tensor]]  # number of the batch, the batch, its losses


class NonFiniteError(SharedError):
    """A loss or a gradient is NaN or infinite."""


def refuse(processes: Processes, folder: Path, seen: Sequence[Seen], *, progress: Progress, norm: float) -> NoReturn:
    """Stop all processes; those that have the batch say which it is, and keep it.

    Args:
        processes: who takes part.
        folder: where the batch is kept.
        seen: this process's batches of the update.
        progress: how far the training is.
        norm: length of the gradient.

    Raises:
        NonFiniteError: always.
    """
    bad = [entry for entry in seen if not all(math.isfinite(value.item()) for value in entry[2].values())]
    what = "the loss"
    if not processes.sum([float(len(bad))])[0]:  # all losses are numbers, and their gradient is none
        bad, what = list(seen), "the gradient"
    told = [_keep(folder, entry, progress, what, norm) for entry in bad]
    processes.sum([0.0])  # nobody ends before all have written
    raise NonFiniteError("\n".join(told))


def _keep(folder: Path, entry: Seen, progress: Progress, what: str, norm: float) -> str:
    number, batch, losses = entry
    path = folder / f"nonfinite_epoch{progress.epoch + 1}_batch{number}.safetensors"
    tensors = {name: value.cpu().clone() for name, value in batch.items() if isinstance(value, torch.Tensor)}
    others = {name: value for name, value in batch.items() if name not in tensors}
    where = f"The batch is kept in {path}"
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"batch": json.dumps(others, default=str)})
    except (OSError, SafetensorError) as error:
        where = f"The batch could not be kept in {path} ({error})"
    videos = [str(video) for video in batch.get("video_id", ())]
    more = f" and {len(videos) - NAMED} more" if len(videos) > NAMED else ""
    values = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
    odd = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    cause = f" {', '.join(odd)} holds NaN or infinity: extract those videos again." if odd else ""
    return (
        f"{what} of batch {number} of epoch {progress.epoch + 1} is not finite ({values}; gradient {norm:.4g}), at "
        f"update {progress.updates + 1}; the weights were not changed. {where}; its videos: "
        f"{', '.join(videos[:NAMED])}{more}.{cause or ' A lower learning rate, or bf16 in place of fp16, may help.'}"
    )
