"""A model whose weights, gradients and moments lie in parts, one in each process (torch's FSDP2).

Weights are put together for each layer when it computes, and let go again. Gradients are divided after each batch, also
where more batches follow before the step: what adds up is a part as well. Whatever is no training step, as planning,
validating and writing do, sees a whole model with plain weights, so that processes need not do the same there.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from types import MethodType

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils import swap_tensors
from transformers.modeling_layers import GradientCheckpointingLayer

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.video_bert import run_packed

SUPPORTED = hasattr(FSDPModule, "set_reduce_scatter_unused_params")  # what batches leave out differs by process


class Shards:
    """Divides a model among all processes.

    Args:
        model: the same in all processes, on its device; changed in place.
    """

    def __init__(self, model: MMPTPreTrainedModel) -> None:
        parameters = list(model.parameters())
        empty = {id(value): nn.Parameter(torch.empty_like(value, device="meta")) for value in parameters}
        self._model = model
        self._twin = deepcopy(model, empty)  # all but the weights
        for value in parameters:
            dist.broadcast(value.detach(), 0)  # as DDP does: parts of unequal models would make no model
        mesh = init_device_mesh(parameters[0].device.type, (dist.get_world_size(),))
        for layer in [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]:
            fully_shard(layer, mesh=mesh)
            vars(layer)["run_packed"] = MethodType(run_packed, layer)  # what packed rows run, in place of calling it
            register_fsdp_forward_method(layer, "run_packed")
        fully_shard(model, mesh=mesh).set_reduce_scatter_unused_params(True)
        self._used: set[str] = set()  # weights that got a gradient in this process since the last step
        self._watch()
        # what models give are views, which tasks and losses never change in place
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")

    def _watch(self) -> None:
        """Note when a whole weight gets a gradient; torch keeps these weights, empty while they are not needed."""
        for module in [module for module in self._model.modules() if isinstance(module, FSDPModule)]:
            module.unshard()
            for name, value in self._model.named_parameters():
                if not isinstance(value, DTensor):
                    value.register_post_accumulate_grad_hook(partial(self._note, name))
            module.reshard()

    def _note(self, name: str, _: torch.Tensor) -> None:
        self._used.add(name)

    def drop_unused(self) -> None:
        """Take the zeros from weights that no process used, so that the optimizer leaves them alone, as it does copies.

        A weight that was used and whose gradient happens to be zero keeps it: its moments count.
        """
        names = [name for name, _ in self._model.named_parameters()]
        used = torch.tensor([float(name in self._used) for name in names], device=self._model.device)
        dist.all_reduce(used)
        self._used.clear()
        for name, count in zip(names, used.tolist(), strict=True):
            if not count:
                self._model.get_parameter(name).grad = None

    @contextlib.contextmanager
    def whole(self) -> Iterator[MMPTPreTrainedModel]:
        """Put the weights together for a block; all processes do.

        Yields:
            A model with the weights as they are now, in which nothing is shared with other processes.
        """
        self._twin.train(self._model.training)
        own = dict(self._twin.named_parameters())
        plain = {name: nn.Parameter(joined(value)) for name, value in self._model.named_parameters()}
        for name, value in own.items():
            swap_tensors(value, plain[name])
        try:
            yield self._twin
        finally:
            for name, value in own.items():
                swap_tensors(value, plain[name])


def gathered(tensors: Mapping[str, torch.Tensor], *, keep: bool) -> dict[str, torch.Tensor]:
    """Put divided tensors together; all processes do, one tensor after the other.

    Args:
        tensors: divided or not.
        keep: whether this process wants them.

    Returns:
        The same, each whole; those that were divided on the CPU. Nothing where they are not wanted.
    """
    found = {}
    for name, value in tensors.items():
        whole = joined(value).cpu() if isinstance(value, DTensor) else value
        if keep:
            found[name] = whole
    return found


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor; all of one that is not divided."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Divide a tensor, the same in all processes, as another is; no division where that is whole."""
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def joined(value: torch.Tensor) -> torch.Tensor:
    """Put a tensor together, where it is divided; all processes do."""
    value = value.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value
