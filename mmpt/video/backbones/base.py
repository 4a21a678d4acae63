"""What every video backbone offers: one vector for each second of frames."""

from typing import Protocol

import numpy as np
from torch import Tensor


class Backbone(Protocol):
    """A network that turns seconds of video into vectors.

    Register a class with `mmpt.utils.registry.register("backbone", name)` to make it known by name. Everything but the
    call must be cheap: a cached feature is found by what is declared here, without loading any weights.

    Attributes:
        name: what it is registered as.
        version: changes whenever the same frames would give other vectors: of weights, code or runtime.
        precision: the numbers that it computes with, ``"fp32"`` or ``"bf16"``.
        fps: frames per second that it reads.
        size: side of the square frames that it reads, in pixels.
        dim: width of its vectors.
        batch_seconds: seconds to hand over at once, for speed; any other number gives the same vectors.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def fps(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def batch_seconds(self) -> int: ...

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode seconds.

        Args:
            frames: (seconds, fps, size, size, 3) uint8, RGB.

        Returns:
            (seconds, dim) float32, as the network gives them: not scaled to unit length.
        """
        ...
