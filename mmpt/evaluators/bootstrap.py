"""How far numbers would move with other examples of the same kind (the bootstrap).

A draw takes as many examples as there are, with replacement. Most measures are numbers of sums over examples, so a
draw is a count for each example, and all draws together are one matrix product. Examples that are alike are counted
together: of a million right-or-wrong answers only the number of right ones is drawn.

Sentences about one video are not independent: what makes one hard makes the others hard. So where examples come in
groups, whole groups are drawn (the cluster bootstrap); as if each sentence were drawn alone, intervals would be too
narrow by a third and more.

Shapes: N examples, K different ones, G groups, D draws, k numbers of an example.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mmpt.evaluators.base import STATISTICS, Measure

DRAWS = 2000
EXACT = 11  # differing examples up to which all 2,048 or fewer swaps are tried
ENOUGH = 1000  # differing examples above which draws of examples are sure enough by themselves
LEVEL = 0.95
ALIKE = 16  # examples for each different one, above which drawing counts is faster than drawing examples
BLOCK = 1 << 21  # examples drawn at a time
OF_SUMS = frozenset({"bleu", "meteor", "mean_of_pairs"})  # statistics that see the sums of their rows only


def interval(
    measure: Measure,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Estimate how far a measure would move with other examples of the same kind (percentile bootstrap).

    Args:
        measure: the measure.
        groups: int (N,), the group that each example belongs to; each by itself where it is None.
        seed: of the draws.
        draws: how many.
        level: part of the draws that lie inside.

    Returns:
        The interval's ends; NaN twice where there is no example.
    """
    return middle(drawn([measure.parts], measure.statistic, groups=groups, seed=seed, draws=draws)[0], level)


def middle(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Give the ends between which most values lie.

    Args:
        values: float (D,).
        level: which part of them; as many lie below as above.

    Returns:
        The ends; NaN twice where no value is known.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def drawn(
    parts: Sequence[np.ndarray],
    statistic: str,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> np.ndarray:
    """Compute a measure on draws of examples, the same draws for all that is given.

    Args:
        parts: for each system that is measured (N,) or (N, k), as `Measure.parts`, of the same examples in order.
        statistic: as `Measure.statistic`.
        groups: see `interval`.
        seed: of the draws.
        draws: D.

    Returns:
        float64 (systems, D); NaN where there is no example.
    """
    tables = [np.asarray(rows, np.float64).reshape(len(rows), -1 if len(rows) else 1) for rows in parts]
    count = len(tables[0])
    if not count:
        return np.full((len(tables), draws), np.nan)
    kinds, of_kind = _kinds(np.hstack(tables))
    systems = np.split(kinds, np.cumsum([table.shape[1] for table in tables])[:-1], axis=1)
    rng = np.random.default_rng(seed)
    if groups is None:
        blocks = _counts(of_kind.ravel(), len(kinds), draws, rng)
    else:
        blocks = _counts_of_groups(of_kind.ravel(), len(kinds), _numbered(groups), draws, rng)
    values = [[_measured(system, counts, statistic) for system in systems] for counts in blocks]
    return np.concatenate(values, axis=1)


def swapped(
    parts: tuple[np.ndarray, np.ndarray], statistic: str, *, groups: np.ndarray | None = None, seed: int = 0
) -> float:
    """Tell how often two systems differ as much or more when the answers to examples are swapped at random.

    Were the systems alike, each example's two answers could have been the other way round. With few examples on which
    they differ, draws of examples are too sure: one example alone gives a difference in most of them.

    Args:
        parts: for each of two systems (N,) or (N, k), as `Measure.parts`, of the same examples in order.
        statistic: as `Measure.statistic`.
        groups: see `interval`; the answers to all examples of a group are swapped together.
        seed: of the swaps, where not all of them are tried.

    Returns:
        The part of the swaps, counted on both sides: at least 2 / 2**n for n differing examples, or groups of them; 1
        where none differs, 0 where too many differ for swaps to tell more than draws of examples.
    """
    tables = [np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in parts]
    count = len(tables[0])
    kinds, of_kind = _kinds(np.concatenate(tables))
    first, second = of_kind.ravel()[:count], of_kind.ravel()[count:]
    differ = first != second
    if not differ.any():
        return 1.0
    unit = _numbered(np.arange(count)[differ] if groups is None else groups[differ])
    units = int(unit.max()) + 1
    if units > ENOUGH:
        return 0.0
    equal = np.bincount(first[~differ], minlength=len(kinds))
    pair = np.stack([first[differ], second[differ]])
    together = _swaps(units, max(1, BLOCK // max(len(kinds), int(differ.sum()))), seed)
    swaps = (flips[:, unit] for flips in together)
    counts = ((_swapped_counts(pair, flips, equal), _swapped_counts(pair, ~flips, equal)) for flips in swaps)
    differences = np.concatenate(
        [np.subtract(*(_measured(kinds, each, statistic) for each in both)) for both in counts]
    )
    observed = abs(differences[0])  # nothing is swapped in the first
    return float((~(np.abs(differences) < observed * (1 - 1e-9))).mean())


def _swaps(count: int, block: int, seed: int) -> Iterator[np.ndarray]:
    """Which of the differing examples are swapped, bool (some swaps, count); none of them in the first."""
    rng = np.random.default_rng(seed)
    total = 2**count if count <= EXACT else DRAWS + 1
    for start in range(0, total, block):
        numbers = np.arange(start, min(start + block, total))[:, None]
        if count <= EXACT:
            yield (numbers >> np.arange(count)) % 2 == 1
        else:
            yield (rng.random((len(numbers), count)) < 0.5) & (numbers > 0)


def _swapped_counts(pair: np.ndarray, flips: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """How many examples of each kind one of two systems has, float64 (swaps, K)."""
    taken = np.where(flips, pair[1], pair[0]) + len(equal) * np.arange(len(flips))[:, None]
    counts = np.bincount(taken.ravel(), minlength=len(flips) * len(equal))
    return (counts.reshape(len(flips), -1) + equal).astype(np.float64)


def _kinds(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, (K, k), and which of them each row is."""
    if rows.shape[1] == 1:  # ten times faster than by whole rows
        values, of_kind = np.unique(rows[:, 0], return_inverse=True)
        return values[:, None], of_kind
    return np.unique(rows, axis=0, return_inverse=True)


def _counts(of_kind: np.ndarray, kinds: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each kind of example is drawn, float64 (some draws, K)."""
    count = len(of_kind)
    alike = kinds * ALIKE <= count
    shares = np.bincount(of_kind, minlength=kinds) / count
    block = max(1, BLOCK // (kinds if alike else count))
    for start in range(0, draws, block):
        some = min(block, draws - start)
        if alike:
            yield rng.multinomial(count, shares, size=some).astype(np.float64)
        else:
            taken = of_kind[rng.integers(count, size=(some, count))] + kinds * np.arange(some)[:, None]
            yield np.bincount(taken.ravel(), minlength=some * kinds).reshape(some, kinds).astype(np.float64)


def _numbered(groups: np.ndarray) -> np.ndarray:
    """The groups' numbers, from 0 on without gaps."""
    return np.unique(groups, return_inverse=True)[1].ravel()


def _counts_of_groups(
    of_kind: np.ndarray, kinds: int, group: np.ndarray, draws: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """How often each kind of example is drawn where whole groups are, float64 (some draws, K)."""
    cells, sizes = np.unique(group * kinds + of_kind, return_counts=True)  # examples of one group and kind, together
    groups, of_cell, kind = int(group.max()) + 1, cells // kinds, cells % kinds
    block = max(1, BLOCK // max(kinds, groups))
    for start in range(0, draws, block):
        times = rng.multinomial(groups, np.full(groups, 1 / groups), size=min(block, draws - start))
        yield np.stack([np.bincount(kind, weights=row[of_cell] * sizes, minlength=kinds) for row in times])


def _measured(kinds: np.ndarray, counts: np.ndarray, statistic: str) -> np.ndarray:
    """A statistic of draws: (K, k), (D, K) -> (D,)."""
    if statistic == "mean":
        return counts @ kinds.mean(axis=1) / counts.sum(axis=1)
    if statistic == "median":
        return _medians(kinds[:, 0], counts)
    if statistic == "ratio":
        part, whole = (counts @ kinds).T
        return _ratios(part, whole)
    if statistic == "mean_of_ratios":
        return _means_of_ratios(kinds, counts)
    compute = STATISTICS[statistic]
    if statistic in OF_SUMS:
        return np.array([compute(sums[None]) for sums in counts @ kinds])
    return np.array([compute(np.repeat(kinds, row.astype(int), axis=0)) for row in counts])


def _medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    values, below = values[order], counts[:, order].cumsum(axis=1)
    count = below[:, -1:]  # of groups of unequal size, another one in each draw
    middles = [values[(below <= place).sum(axis=1)] for place in ((count - 1) // 2, count // 2)]
    return (middles[0] + middles[1]) / 2


def _means_of_ratios(kinds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Kinds are (group, part, whole); a group without a whole in a draw is left out of it."""
    groups, group = np.unique(kinds[:, 0], return_inverse=True)
    member = (group[:, None] == np.arange(len(groups))).astype(np.float64)  # (K, groups)
    parts, wholes = (counts @ (member * kinds[:, [column]]) for column in (1, 2))  # (D, groups)
    ratios = _ratios(parts, wholes)
    known = ~np.isnan(ratios)
    return _ratios(np.where(known, ratios, 0).sum(axis=1), known.sum(axis=1))


def _ratios(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """NaN where there is no whole."""
    return np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)
