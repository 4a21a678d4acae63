"""Whether two samples come from one distribution. Seeds are fixed, so that a verdict never changes."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

LEAST_P = 1e-4  # below it two samples are held to differ
MOST_SIGMA = 4.5  # likewise for means and rates
LEAST_COUNT = 10  # of a bin, in both samples together; smaller ones are joined


def assert_same_counts(ours: Mapping[Any, int], recorded: Mapping[Any, int], what: str) -> None:
    """Hold two histograms to each other by a two-sample chi-square test.

    Args:
        ours: value -> count.
        recorded: value -> count.
        what: named in the failure.
    """
    values = sorted(set(ours) | set(recorded))
    pairs = np.array([(ours.get(value, 0), recorded.get(value, 0)) for value in values], float)
    if len(values) == 1 or not pairs.any():
        return
    assert pairs[:, 0].any(), f"{what}: we have nothing, recorded is {dict(recorded)}"
    bins = _joined(pairs)
    scale = np.sqrt(bins[:, 1].sum() / bins[:, 0].sum())
    statistic = ((bins[:, 0] * scale - bins[:, 1] / scale) ** 2 / bins.sum(axis=1)).sum()
    p = chi_square_tail(float(statistic), len(bins) - 1) if len(bins) > 1 else 1.0
    assert p > LEAST_P, f"{what}: p = {p:.1e}, chi-square {statistic:.1f} of {len(bins)} bins"


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability that chi-square with `freedom` degrees of freedom is larger."""
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def assert_same_sample(ours: ArrayLike, recorded: Mapping[str, Any], what: str) -> None:
    """Hold a sample to recorded statistics: mean and histogram, or mean and spread.

    Args:
        ours: our values.
        recorded: `mean`, `std`, `min`, `max`, `n`, and `hist` for whole numbers.
        what: named in the failure.
    """
    values = np.asarray(ours, float)
    if recorded["std"] == 0:
        assert values.min() == pytest.approx(recorded["min"]) and values.max() == pytest.approx(recorded["max"]), what
        return
    if "hist" in recorded:
        counts = Counter(values.astype(int).tolist())
        assert_same_counts(counts, {int(value): count for value, count in recorded["hist"].items()}, what)
    else:
        assert values.std() == pytest.approx(recorded["std"], rel=0.05), f"{what}: std"
    error = np.sqrt(values.var() / len(values) + recorded["std"] ** 2 / recorded["n"])
    assert abs(values.mean() - recorded["mean"]) < MOST_SIGMA * error, f"{what}: mean {values.mean():.4f}"


def assert_same_rates(ours: ArrayLike, recorded: ArrayLike, n_ours: int, n_recorded: int, what: str) -> None:
    """Hold rates of events to recorded ones; 0 and 1 exactly.

    Args:
        ours: our rates.
        recorded: the recorded ones.
        n_ours: our draws.
        n_recorded: recorded draws.
        what: named in the failure.
    """
    a, b = np.asarray(ours, float), np.asarray(recorded, float)
    assert a.shape == b.shape, f"{what}: {a.shape}, recorded {b.shape}"
    never_or_always = (b == 0) | (b == 1)
    assert (a[never_or_always] == b[never_or_always]).all(), f"{what}: not 0 or 1 where the original is"
    pooled = (a * n_ours + b * n_recorded) / (n_ours + n_recorded)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_ours + 1 / n_recorded))
    assert (abs(a - b) <= MOST_SIGMA * error + 1e-12).all(), f"{what}: {a}, recorded {b}"


def _joined(pairs: np.ndarray) -> np.ndarray:
    bins = [np.zeros(2)]
    for pair in pairs:
        if bins[-1].sum() >= LEAST_COUNT:
            bins.append(np.zeros(2))
        bins[-1] = bins[-1] + pair
    if len(bins) > 1 and bins[-1].sum() < LEAST_COUNT:
        bins[-2:] = [bins[-2] + bins[-1]]
    return np.array(bins)
