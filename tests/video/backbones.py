"""Backbones from outside the package, for tests that start processes: `--backbone tests.video.backbones:Slow`."""

import os
import signal
import time

import numpy as np
import torch

FPS, SIZE = 4, 8
DEADLY = 200  # a grey


class Colours:
    """Each second's mean colour, and its brightest value."""

    name = "colours"
    precision = "fp32"
    fps = FPS
    size = SIZE
    dim = 4

    def __init__(self, version: str = "1", batch_seconds: int = 2) -> None:
        self.version, self.batch_seconds = version, batch_seconds
        self.asked: list[int] = []  # seconds of each call

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        self.asked.append(len(frames))
        values = torch.as_tensor(frames).float()
        return torch.cat([values.mean(dim=(1, 2, 3)), values.amax(dim=(1, 2, 3, 4))[:, None]], dim=1)


class Slow(Colours):
    """The same, a tenth of a second each."""

    def __init__(self) -> None:
        super().__init__(batch_seconds=1)

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return super().__call__(frames)


class Deadly(Colours):
    """The same, but a second of one grey ends the process."""

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        if (np.asarray(frames)[:, 0, 0, 0, 0] == DEADLY).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(frames)


class NotANumber(Colours):
    """Infinity for every second."""

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        return super().__call__(frames) * torch.inf
