"""Random draws that depend on nothing but (seed, epoch, index)."""

import numpy as np


def generator(seed: int, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Make the random generator of one item of one epoch.

    The same three numbers give the same draws in any process, whatever was drawn before: no global state is read or
    changed.

    Args:
        seed: of the run.
        epoch: which pass over the data, from 0 on.
        index: which item.

    Returns:
        A generator of its own.

    Raises:
        ValueError: a number is negative.
    """
    if min(seed, epoch, index) < 0:
        raise ValueError(f"seed, epoch and index are {seed}, {epoch}, {index}; each takes 0 or more")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch, index))))
