"""The optimizer, the learning rate by update, and a moving average of the weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from mmpt.config.training import OptimConfig
from mmpt.training.fsdp import SUPPORTED

OPTIMIZERS = ("adam", "adamw")  # one and the same: weight decay is apart from the gradient in both, as in the original
BACKENDS = ("no_c10d", "c10d", "pytorch_ddp", "legacy_ddp", "slow_mo")  # one and the same: each process has a copy
SHARDED = "fully_sharded"
SCHEDULES = ("polynomial_decay", "fixed")
FUSED = ("cpu", "cuda")  # devices on which one call updates all weights


def check_optim(config: OptimConfig) -> None:
    """See that a training can learn as it is told.

    Args:
        config: how the model learns.

    Raises:
        ValueError: something is unknown, missing or out of its range; all of it is told.
    """
    problems = []
    if config.optimizer not in OPTIMIZERS:
        problems.append(f"optimizer is {config.optimizer!r}; it takes {' or '.join(OPTIMIZERS)}")
    if config.lr_scheduler not in SCHEDULES:
        problems.append(f"lr_scheduler is {config.lr_scheduler!r}; it takes {' or '.join(SCHEDULES)}")
    if config.ddp_backend not in (None, *BACKENDS, SHARDED):
        problems.append(f"ddp_backend is {config.ddp_backend!r}; it takes {', '.join(BACKENDS)} or {SHARDED}")
    if config.ddp_backend == SHARDED and not SUPPORTED:
        problems.append(
            f"ddp_backend {SHARDED} needs a newer torch than {torch.__version__}, 2.13 for example; or take no_c10d"
        )
    if not config.lr or min(config.lr) < 0:
        problems.append(f"lr is {config.lr}; it takes a number above 0, 5.0e-05 in every published YAML file")
    if config.max_epoch is None and config.max_update is None:
        problems.append("neither max_epoch nor max_update is set, so that the training would never end; set one")
    if min(config.update_freq) < 1:
        problems.append(f"update_freq is {list(config.update_freq)}; it takes 1 or more")
    if config.fp16 and config.bf16:
        problems.append("fp16 and bf16 are both true; it takes one")
    if config.ema_decay is not None and not 0 < config.ema_decay < 1:
        problems.append(f"ema_decay is {config.ema_decay}; it takes a number between 0 and 1, for example 0.999")
    if problems:
        raise ValueError("this training cannot learn:\n" + "\n".join(f"  - fairseq: {line}" for line in problems))


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Make the optimizer.

    Args:
        model: on the device where it learns.
        config: how it learns.

    Returns:
        Adam over all of the model's parameters, with decoupled weight decay.
    """
    parameters = list(model.parameters())
    first, second = config.adam_betas
    return torch.optim.AdamW(
        parameters,
        lr=learning_rate(config, 1, 0),
        betas=(first, second),
        eps=config.adam_eps,
        weight_decay=config.weight_decay,
        fused=parameters[0].device.type in FUSED,
    )


def learning_rate(config: OptimConfig, update: int, epoch: int) -> float:
    """The learning rate of an update: that of the original, whose schedule counts the updates done before it.

    Args:
        config: how the model learns.
        update: number of the optimizer's step, from 1 on.
        epoch: which pass, from 0 on.

    Returns:
        With polynomial_decay a straight line from 0, the first update's rate, to `lr`, that of the update which
        follows `warmup_updates` others; then a fall to `end_learning_rate`, which the update after `total_num_update`
        others has. With fixed a line from `lr / warmup_updates` on, then `lr`.
    """
    assert config.lr
    height, done, warmup = config.lr[min(epoch, len(config.lr) - 1)], update - 1, config.warmup_updates
    if config.lr_scheduler == "fixed":  # which counts the update itself while it warms up
        return height * update / warmup if done < warmup else height
    if warmup and done <= warmup:
        return height * done / warmup
    if done >= config.total_num_update:
        return config.end_learning_rate
    left = 1 - (done - warmup) / (config.total_num_update - warmup)
    return (height - config.end_learning_rate) * left**config.power + config.end_learning_rate


class MovingAverage:
    """A moving average of a model's weights.

    It forgets faster at the start, so that a short training's average holds little of the weights that it began with.

    Args:
        model: whose weights.
        decay: part of the average that stays at an update, once there were many.

    Attributes:
        weights: parameter's name -> average, float32.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, updates: int) -> None:
        """Take in the weights as they are now.

        Args:
            model: whose weights.
            updates: how many there were before this one.
        """
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for name, value in model.named_parameters():
            self.weights[name].lerp_(value, 1 - decay)

    @contextlib.contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the average within a block."""
        own = {name: value.detach().clone() for name, value in model.named_parameters()}
        _copy(self.weights, model)
        try:
            yield
        finally:
            _copy(own, model)


@torch.no_grad()
def _copy(weights: dict[str, torch.Tensor], model: nn.Module) -> None:
    for name, value in model.named_parameters():
        value.copy_(weights[name])
