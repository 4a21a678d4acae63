"""The processes of a training: who is who, and what they tell each other. The only place that knows Accelerate."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.training.fsdp import Shards, gathered

PATIENCE = timedelta(hours=2)  # that a process waits for another which is busy; one that has ended is noticed at once


class ProcessLostError(RuntimeError):
    """Another process of the training has ended."""


class SharedError(ValueError):
    """All processes know of it and stop; those that have nothing to say give an empty message."""


class Processes:
    """All processes of a training, of which this is one.

    Args:
        device: ``"cpu"``, or anything else for the accelerator that the machine has.

    Attributes:
        rank: this process's number.
        world: how many processes there are.
        device: where this one computes.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision="no",  # the loop casts by itself, and Accelerate holds one choice for a whole process
            kwargs_handlers=[
                # what a batch leaves out differs: a pooler always, frames or words where a whole modality is masked
                DistributedDataParallelKwargs(find_unused_parameters=True),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
        )
        self.rank: int = self._accelerator.process_index
        self.world: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device
        self._shards: Shards | None = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def prepare(self, model: MMPTPreTrainedModel, *, sharded: bool = False) -> nn.Module:
        """Move a model to the device, and let its gradients be the mean over all processes.

        Args:
            model: changed in place.
            sharded: let each of several processes keep a part of every weight, in place of a copy.

        Returns:
            What is to be called for a training step.
        """
        if not sharded or self.world == 1:
            return self._accelerator.prepare(model)
        nn.Module.to(model, self.device)
        self._shards = Shards(model)
        return model

    def whole(self, model: MMPTPreTrainedModel) -> AbstractContextManager[MMPTPreTrainedModel]:
        """Give a model for anything but training steps. All processes ask; what they do with it need not be the same.

        Args:
            model: what `prepare` took.

        Returns:
            A block with a model that has the weights as they are now; `model` itself where it is not shared out.
        """
        return nullcontext(model) if self._shards is None else self._shards.whole()

    def gather(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Put together what is shared out. All processes ask.

        Args:
            tensors: weights, or what belongs to weights.

        Returns:
            The same, whole; where they are shared out, nothing in processes that do not write.
        """
        return dict(tensors) if self._shards is None else gathered(tensors, keep=self.first)

    def drop_unused(self) -> None:
        """Leave weights without a gradient that no process's batch used, however gradients are shared."""
        if self._shards is not None:
            self._shards.drop_unused()

    def keep_gradients(self, model: nn.Module) -> AbstractContextManager[None]:
        """Let gradients of a block add up in this process only, because another batch follows.

        Args:
            model: what `prepare` gave.

        Returns:
            The block; one that does nothing where each process keeps a part, as there is no room for the whole.
        """
        apart = self.world > 1 and self._shards is None
        return self._accelerator.no_sync(model) if apart else nullcontext()

    def sum(self, values: Sequence[float]) -> list[float]:
        """Add up numbers over all processes.

        Args:
            values: as many on each.

        Returns:
            Their sums, the same on each.

        Raises:
            ProcessLostError: another process has ended.
        """
        if self.world == 1:
            return list(values)
        device = self.device if self.device.type == "cuda" else "cpu"
        told = torch.tensor(values, dtype=torch.float64, device=device)
        try:
            dist.all_reduce(told)
        except RuntimeError as error:
            raise ProcessLostError(str(error)) from error
        return told.tolist()

    def leave(self, code: int) -> int:
        """End this process; of several it does not come back.

        Torch's threads may wait for Python's lock while Python waits for them, when a process group is taken down: a
        process that has nothing left to do would then hang for ever. So nothing is taken down.

        Args:
            code: the exit code.

        Returns:
            The code, where there is one process.
        """
        if self.world > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code
