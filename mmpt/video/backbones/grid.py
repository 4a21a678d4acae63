"""A backbone without weights: coarse colours and how they change, so that everything runs without a download.

It tells scenes and movements apart a little, knows nothing of what they show, and is as fast as decoding is. A second
is read as four frames of 8 x 8 pixels. Their bytes and the differences from one frame to the next, 1344 whole numbers,
are projected to 512 by a matrix of signs that a formula gives. All sums are of whole numbers below 2^24, which float32
adds without rounding, in any order: the same frames give the same bits on every machine.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from mmpt.utils.registry import register

CODE = 1  # raise it whenever the same frames would give other numbers
GRID_FPS = 4  # frames per second
GRID_SIZE = 8  # pixels
GRID_DIM = 512  # numbers a second
PIXELS = GRID_SIZE * GRID_SIZE * 3
INPUTS = (GRID_FPS + GRID_FPS - 1) * PIXELS  # frames, and differences between neighbours
MIDDLE = 128  # what bytes are counted from, so that grey is near zero
SCALE = 2.0**-10  # a power of two, which rounds nothing
SEED = 20210928  # of the signs


@register("backbone", "grid")
class GridBackbone:
    """Four 8 x 8 frames a second and their differences, through a fixed projection to 512 numbers.

    It runs on the CPU; there is nothing to choose.
    """

    name = "grid"
    version = f"grid-{CODE}"
    precision = "fp32"
    fps = GRID_FPS
    size = GRID_SIZE
    dim = GRID_DIM
    batch_seconds = 64

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode seconds.

        Args:
            frames: (seconds, 4, 8, 8, 3) uint8, RGB.

        Returns:
            (seconds, 512) float32.

        Raises:
            ValueError: frames of another shape, or not bytes.
        """
        seconds = torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames.cpu()
        shape = (GRID_FPS, GRID_SIZE, GRID_SIZE, 3)
        if seconds.dtype != torch.uint8 or tuple(seconds.shape[1:]) != shape:
            raise ValueError(
                f"frames are {seconds.dtype} {tuple(seconds.shape)}; grid takes uint8 "
                f"(seconds, {', '.join(map(str, shape))})"
            )
        values = seconds.float().flatten(2) - MIDDLE  # (n, 4, 192)
        inputs = torch.cat([values.flatten(1), values.diff(dim=1).flatten(1)], dim=1)  # (n, 1344)
        return inputs @ torch.from_numpy(signs()) * SCALE  # (n, 512)


@functools.lru_cache(maxsize=1)
def signs() -> np.ndarray:
    """Make the projection.

    The sign at row i, column j is the highest bit of splitmix64's output number 512 i + j + 1 for the seed:
    z = seed + n * 0x9E3779B97F4A7C15; z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) *
    0x94D049BB133111EB; z ^ z >> 31, all modulo 2^64. A set bit is -1.

    Returns:
        float32 (1344, 512), each 1 or -1; shared, do not change it.
    """
    number = np.arange(1, INPUTS * GRID_DIM + 1, dtype=np.uint64)
    z = np.uint64(SEED) + number * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    high = (z ^ (z >> np.uint64(31))) >> np.uint64(63)
    return (1 - 2 * high.astype(np.float32)).reshape(INPUTS, GRID_DIM)
