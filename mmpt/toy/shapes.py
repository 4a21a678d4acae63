"""The outlines of the toy world's objects, told apart by their coarse form.

Each function takes coordinates in which an object reaches from about -1 to 1, y downwards, and gives about how far a
point lies outside of it: negative inside.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray


def _box(x: ndarray, y: ndarray, half_width: float, half_height: float) -> ndarray:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _ball(x: ndarray, y: ndarray) -> ndarray:
    return np.hypot(x, y) - 0.92


def _arch(x: ndarray, y: ndarray) -> ndarray:
    return _cup(x, -y)


def _cone(x: ndarray, y: ndarray) -> ndarray:
    return np.maximum(y - 0.9, (2.1 * np.abs(x) - y - 1.05) / 2.33)


def _ring(x: ndarray, y: ndarray) -> ndarray:
    return np.abs(np.hypot(x, y) - 0.81) - 0.24


def _cross(x: ndarray, y: ndarray) -> ndarray:
    return np.minimum(_box(x, y, 0.25, 1.15), _box(x, y, 1.15, 0.25))


def _plank(x: ndarray, y: ndarray) -> ndarray:
    return _box(x, y, 1.2, 0.36)


def _pillar(x: ndarray, y: ndarray) -> ndarray:
    return _box(x, y, 0.36, 1.2)


def _cup(x: ndarray, y: ndarray) -> ndarray:
    return np.maximum(_box(x, y, 0.95, 0.9), -np.maximum(np.abs(x) - 0.5, y - 0.35))


OUTLINES: dict[str, Callable[[ndarray, ndarray], ndarray]] = {
    "ball": _ball,
    "arch": _arch,
    "cone": _cone,
    "ring": _ring,
    "cross": _cross,
    "plank": _plank,
    "pillar": _pillar,
    "cup": _cup,
}

FEET = {  # how far down each of them reaches
    "ball": 0.92,
    "arch": 0.9,
    "cone": 0.9,
    "ring": 1.05,
    "cross": 1.15,
    "plank": 0.36,
    "pillar": 1.2,
    "cup": 0.9,
}
