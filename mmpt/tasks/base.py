"""A task turns a batch into named losses. The loop sees neither video nor text."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Unpack

import torch
from torch import nn

from mmpt.config.schema import LossConfig, TaskConfig
from mmpt.datasets.collate import flatten_clips
from mmpt.datasets.mmdataset import MMDataset
from mmpt.losses.base import Loss
from mmpt.losses.contrastive import PairLoss
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.retrieval.planner import Plan
from mmpt.retrieval.vectors import Embedding
from mmpt.utils.registry import lookup, register


@register("task")
class Task:
    """Plain training: the model's output and the batch go to the loss.

    Args:
        loss: what is minimised.
        clips: clips of a video in each item; each becomes a row of the batch.
        options: the keys at the YAML file's top.
    """

    order: ClassVar[str] = "clips"  # how clips become rows, as `flatten_clips` names it

    def __init__(self, loss: Loss, *, clips: int = 1, options: TaskConfig | None = None) -> None:
        self.loss = loss
        self.clips = clips
        self.options = options or TaskConfig()

    def training_step(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch.

        Args:
            model: the model, or what wraps it for several processes.
            batch: what `collate` gives, on the model's device.

        Returns:
            Name -> scalar tensor.
        """
        return self.losses(model, self.rows(batch))

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the losses of rows.

        Args:
            model: the model, or what wraps it for several processes.
            rows: what `rows` gives.

        Returns:
            Name -> scalar tensor.
        """
        tensors = {name: value for name, value in rows.items() if isinstance(value, torch.Tensor)}
        output = {name: value.float() for name, value in model(**tensors).items()}
        with torch.autocast(tensors["caps"].device.type, enabled=False):  # a loss takes exact scores
            return self.loss(**{**rows, **output})

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make a row of each clip.

        Args:
            batch: tensors (B, K, ...) where items hold K clips.

        Returns:
            Tensors (B * K, ...).
        """
        return flatten_clips(batch, self.clips, order=self.order)

    @property
    def gathers(self) -> bool:
        """True if the loss needs a batch of every process."""
        return isinstance(self.loss, PairLoss) and self.loss.gather

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let a block's losses be those of this process's batches only, as processes may have unequally many."""
        loss = self.loss
        if not isinstance(loss, PairLoss):
            yield
            return
        gather, loss.gather = loss.gather, False
        try:
            yield
        finally:
            loss.gather = gather

    def plan(
        self,
        model: MMPTPreTrainedModel,
        dataset: MMDataset,
        *,
        seed: int,
        epoch: int,
        rank: int,
        world: int,
        **embedding: Unpack[Embedding],
    ) -> Plan | None:
        """Say which videos make the batches of an epoch; every process asks at the same time.

        Args:
            model: the model as it is now, not wrapped.
            dataset: the items of training.
            seed: of the run.
            epoch: which pass, from 0 on.
            rank: this process's number.
            world: how many processes there are.
            embedding: how videos are embedded, where they are: the precision, the workers, and who hears of it.

        Returns:
            The plan; None where the batches stay what they are.
        """
        return None


def build_loss(config: LossConfig) -> Loss:
    """Make the loss that a file names.

    Args:
        config: the `loss:` block.

    Returns:
        The loss.

    Raises:
        ValueError: the name is not registered, or the loss cannot gather.
    """
    cls = lookup("loss", config.loss_cls, where="loss.loss_cls", may_import=True)
    if not config.gather:
        return cls()
    if not issubclass(cls, PairLoss):
        raise ValueError(
            f"loss.gather is true, and {config.loss_cls} contrasts nothing that could be gathered; it is for "
            "MMContraLoss, T2VContraLoss and V2TContraLoss"
        )
    return cls(gather=True)


def build_task(loss: LossConfig, options: TaskConfig, *, clips: int) -> Task:
    """Make the task that a file names, plain training where it names none.

    Args:
        loss: the `loss:` block.
        options: the keys at the file's top.
        clips: clips of a video in each item.

    Returns:
        The task.

    Raises:
        ValueError: a name is not registered.
    """
    cls = lookup("task", options.task or "Task", where="task", may_import=True)
    return cls(build_loss(loss), clips=clips, options=options)
