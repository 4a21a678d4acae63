"""Tasks as a user may write them outside the package, each for one thing that can happen."""

import os
import resource
import signal
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import get_worker_info

from mmpt.processors.ds import DSAligner
from mmpt.retrieval.planner import Plan
from mmpt.tasks.base import Task
from mmpt.tasks.contrastive import VideoRetriTask

BIAS = "video_encoder.videomlp.linear2.bias"


class Unequal(VideoRetriTask):
    """Clusters of one to three videos."""

    def plan(self, *_: Any, **__: Any) -> Plan:
        return Plan(((0, 1, 2), (3,), (4, 5), (6, 7, 8), (9,), (10, 1)), {"clusters": 6.0, "hard_negatives": 0.0})


class Killed(VideoRetriTask):
    """The second process is killed in its second epoch."""

    def training_step(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        if os.environ["RANK"] == "1" and os.path.exists(os.environ["KILL"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(model, batch)


class AskedToStop(VideoRetriTask):
    """The second process is asked to stop, in its fourth step."""

    steps = 0

    def training_step(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        self.steps += model.training
        if os.environ["RANK"] == "1" and self.steps == 5:  # the first is the estimate's
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(model, batch)


class FullDisk(VideoRetriTask):
    """No file may grow any more, once there is the first checkpoint."""

    def training_step(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        if os.path.exists(os.environ["FULL"]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        return super().training_step(model, batch)


class TooLarge(Task):
    """Asks for more memory than there is."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return {"loss": torch.empty(1 << 60).sum()}


class Broken(VideoRetriTask):
    """One batch's loss is no number."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        found = super().losses(model, rows)
        if model.training and "v3" in rows["video_id"]:
            found["t2v"] = found["t2v"] * float("nan")
        return found


class Deadly(DSAligner):
    """A process that reads ahead is killed, as a system that runs out of memory does."""

    def __call__(self, *item: Any) -> dict[str, Any]:
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*item)


class HalfReady(VideoRetriTask):
    """The second process alone cannot begin, as where a file lies on one machine only."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        if os.environ["RANK"] == "1":
            raise ValueError("a file is not on this machine")


class StoppedWhilePlanning(VideoRetriTask):
    """Is asked to stop while the second epoch is planned."""

    def plan(self, *given: Any, **more: Any) -> Plan | None:
        if more["epoch"] == 1 and os.path.exists(os.environ.get("STOP", "")):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().plan(*given, **more)


class Overflowing(VideoRetriTask):
    """Gradients are infinite, whatever their scale."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        found = super().losses(model, rows)
        return {
            name: torch.clamp(value * 1e30, max=1.0) + value * 1e30 - (value * 1e30).detach()
            for name, value in found.items()
        }


class Vanishing(VideoRetriTask):
    """The gradient of the third step is all zeros; what the steps before it began moves the weights."""

    steps = 0

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        self.steps += model.training
        found = super().losses(model, rows)
        return {name: value * float(self.steps != 4) for name, value in found.items()}  # the first is the estimate's


class OverflowingSometimes(VideoRetriTask):
    """One number of one weight's gradient is infinite in fp16, where a certain video is in the batch."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        found = super().losses(model, rows)
        if model.training and "v3" in rows["video_id"]:
            bias = dict(model.named_parameters())[f"{'module.' * hasattr(model, 'module')}{BIAS}"]
            found["t2v"] = found["t2v"] + (bias[-1] - bias[-1].detach()) * 3e38
        return found


class Counting(Task):
    """The losses of a validation are the sizes of its batches."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        found = super().losses(model, rows)
        if model.training:
            return found
        return {name: torch.tensor(float(len(rows["video_id"]))) for name in found}


class LostDisk(VideoRetriTask):
    """The first process alone cannot read its videos."""

    def plan(self, *given: Any, **more: Any) -> Plan | None:
        def lost(done: int, total: int) -> None:
            raise OSError("the disk is gone")

        return super().plan(*given, **{**more, **({"on_progress": lost} if os.environ["RANK"] == "0" else {})})


class Wordless(Task):
    """Runs out of memory as Python itself does, without a word."""

    def losses(self, model: nn.Module, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        raise MemoryError
