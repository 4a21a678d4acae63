"""What a training will take, told before its first step: weights, arithmetic and memory.

Nothing is assumed of the model: some items of a real batch go through it, their operations are counted and what is kept
for the gradient is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmpt.config.training import OptimConfig
from mmpt.losses.base import total
from mmpt.tasks.base import Task

ITEMS = 2  # of the batch that are measured
BACKWARD = 3  # forward and backward together, in forwards
COPIES = 4  # of the weights in float32: themselves, their gradient, and Adam's two moments


@dataclass(frozen=True)
class Estimate:
    """What a training takes.

    Attributes:
        parameters: how many numbers are learnt.
        flops: operations of an update, of one process.
        weight_bytes: of the weights, their gradient, the optimizer's moments and an average, in one process.
        batch_bytes: of what is kept of a batch for its gradient.
        losses: names of the parts of the loss.
    """

    parameters: int
    flops: float
    weight_bytes: int
    batch_bytes: int
    losses: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.parameters / 1e6:,.1f} million parameters; {self.flops / 1e12:,.3g} TFLOP an update\nmemory about "
            f"{_size(self.weight_bytes)} for weights and optimizer, {_size(self.batch_bytes)} for a batch"
        )


def estimate(
    task: Task,
    model: nn.Module,
    batch: Mapping[str, Any],
    *,
    optim: OptimConfig,
    casting: torch.autocast,
    accumulated: int,
    parts: int = 1,
) -> Estimate:
    """Measure some items of a batch, and reckon with the whole.

    Args:
        task: turns batches into losses.
        model: not wrapped; its weights and gradients are left as they are.
        batch: a real one, on the model's device.
        optim: how the model learns.
        casting: the precision.
        accumulated: batches of an update, in one process.
        parts: how many processes divide the weights among themselves.

    Returns:
        The estimate.
    """
    count = len(batch["caps"])
    few = {name: value[:ITEMS] if _by_item(value, count) else value for name, value in batch.items()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = list(model.parameters())
    counter = FlopCounterMode(display=False)
    keeping = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    device = batch["caps"].device
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with counter, casting, keeping, task.alone(), forked:
        losses = task.training_step(model, few)
        total(losses)
    own = {value.untyped_storage().data_ptr() for value in parameters}
    scale = count / min(ITEMS, count)
    weights = sum(value.numel() * value.element_size() for value in parameters)
    return Estimate(
        parameters=sum(value.numel() for value in parameters),
        flops=counter.get_total_flops() * scale * BACKWARD * accumulated,
        weight_bytes=weights * (COPIES + (optim.ema_decay is not None)) // parts,
        batch_bytes=int(sum(size for place, size in kept.items() if place not in own) * scale),
        losses=tuple(losses),
    )


def advice(optim: OptimConfig, batch_size: int | None) -> str:
    """Say what helps where memory does not suffice.

    Args:
        optim: how the model learns.
        batch_size: as the file says.

    Returns:
        Sentences.
    """
    first = "dataset.num_video_per_batch or dataset.clip_per_video" if batch_size in (None, 1) else ""
    helps = [
        f"a smaller batch ({first or 'fairseq.dataset.batch_size'}), with more of them an update "
        "(fairseq.optimization.update_freq) for the same step; contrastive losses then see fewer negatives"
    ]
    if not optim.gradient_checkpointing:
        helps.append("fairseq.optimization.gradient_checkpointing=true, which keeps less and computes a third more")
    if not (optim.bf16 or optim.fp16):
        helps.append("fairseq.common.bf16=true, which halves what is kept of a batch")
    return "the memory does not suffice; what helps:\n" + "\n".join(f"  - {line}" for line in helps)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error tells that there is no memory left.

    Args:
        error: what was raised.

    Returns:
        Whether it does.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _by_item(value: Any, count: int) -> bool:
    return isinstance(value, list | torch.Tensor) and len(value) == count


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
