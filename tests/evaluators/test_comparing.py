"""A difference that is there is found, one that is not is not, and what else differs is told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.cards import Card, judge
from mmpt.evaluators.comparing import Difference, compare, what_differs

STATISTICS = ("mean", "median", "ratio", "mean_of_ratios")


class Given(Metric):
    """Takes measures for answers."""

    def compute(self, answers: dict[str, Measure], protocol: Protocol = "fixed") -> dict[str, Measure]:
        return answers

    def baselines(self, answers: Any) -> dict[str, dict[str, float]]:
        return {}


def card_of(measures: dict[str, Measure], examples: list[str] | None = None, **changes: Any) -> Card:
    results, baselines, parts = judge(Given(), {"fixed": measures, "paper": measures})
    count = max(len(measure.parts) for measure in measures.values())
    names = [f"v{number}" for number in range(count)] if examples is None else examples
    protocol = {"model": "MMFusionSeparate", "window": "32 s", "missing": []}
    card = Card("a.yaml", results, baselines, protocol, {"features": "f", "annotations": "a"}, 1.0, {}, names, parts)
    return replace(card, **changes)


def two_systems(statistic: str, shift: float, seed: int, count: int = 400) -> tuple[Measure, Measure]:
    """Measures of two systems on the same examples, whose difficulty they share."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=count)
    scores = [common + rng.normal(scale=0.3, size=count) + extra for extra in (0.0, shift)]
    if statistic in ("mean", "median"):
        return Measure.of(scores[0], statistic), Measure.of(scores[1], statistic)
    whole = rng.integers(5, 20, count).astype(float)
    parts = [np.clip((score + 3) / 6, 0, 1) * whole for score in scores]
    groups = [] if statistic == "ratio" else [np.arange(count) % 7]
    rows = [np.stack([*groups, part, whole], axis=1) for part in parts]
    return Measure.of(rows[0], statistic), Measure.of(rows[1], statistic)


def difference(one: Measure, other: Measure) -> Difference:
    [found] = compare(card_of({"it": one}), card_of({"it": other}))
    return found


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_planted_difference_is_found(statistic: str) -> None:
    one, other = two_systems(statistic, 0.15, seed=0)
    found = difference(one, other)
    assert found.p is not None and found.low is not None and found.value is not None and found.high is not None
    assert found.verdict == "better" and found.p < 0.01
    assert 0 < found.low < found.value < found.high
    back = difference(other, one)
    assert back.verdict == "worse" and back.value == pytest.approx(-found.value)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_systems_of_one_kind_are_seldom_called_different(statistic: str) -> None:
    called = [difference(*two_systems(statistic, 0.0, seed, count=150)).verdict for seed in range(40)]
    assert called[0] == "unclear"
    assert called.count("unclear") >= 34  # 38 of 40 are expected at p < 0.05


def test_pairs_tell_what_intervals_do_not() -> None:
    one, other = two_systems("mean", 0.1, seed=3)
    found = difference(one, other)
    assert found.first["high"] > found.second["low"]  # the cards' intervals overlap
    assert found.verdict == "better"


@pytest.mark.parametrize(("differing", "expected"), [(1, 1.0), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_few_examples_that_differ_are_counted_exactly(differing: int, expected: float) -> None:
    one = np.zeros(500)
    other = np.where(np.arange(500) < differing, 1.0, 0.0)
    found = difference(Measure.of(one), Measure.of(other))
    assert found.p == pytest.approx(expected)
    assert found.verdict == ("better" if differing > 5 else "unclear")


def test_one_large_example_is_no_difference() -> None:
    one = np.full((300, 2), 1.0)
    other = one.copy()
    other[7] = 90, 100
    assert difference(Measure.of(one, "ratio"), Measure.of(other, "ratio")).verdict == "unclear"


def test_less_is_better_where_it_is() -> None:
    ranks = np.random.default_rng(0).integers(5, 50, 300)
    one, other = (Measure.of(values, "median", higher_is_better=False) for values in (ranks, ranks - 4))
    found = difference(one, other)
    assert found.value == -4 and found.verdict == "better"


def test_the_same_card_differs_in_nothing() -> None:
    card = card_of({"it": Measure.of([0.0, 1.0, 1.0])})
    [found] = compare(card, card)
    assert (found.value, found.low, found.high, found.p, found.verdict) == (0, 0, 0, 1, "unclear")
    assert what_differs(card, card) == []


def test_the_same_examples_in_another_order_are_paired() -> None:
    rng = np.random.default_rng(0)
    values, order = rng.random(200), rng.permutation(200)
    names = [f"v{number}" for number in range(200)]
    other = card_of({"it": Measure.of(values[order] + 0.001)}, [names[place] for place in order])
    [found] = compare(card_of({"it": Measure.of(values)}, names), other)
    assert found.value == pytest.approx(0.001) and found.low == pytest.approx(0.001, abs=1e-5)


def test_other_examples_are_not_paired_and_said_so() -> None:
    one = card_of({"it": Measure.of([0.0, 1.0, 1.0])})
    other = card_of({"it": Measure.of([1.0, 1.0])}, ["v0", "w"])
    [found] = compare(one, other)
    assert (found.p, found.low, found.verdict) == (None, None, None)
    assert found.value == pytest.approx(1 / 3) and found.first["low"] == 0
    assert what_differs(one, other) == [
        "2 examples are in the first card only (v1, v2)",
        "1 examples are in the second card only (w)",
    ]


def test_names_that_occur_twice_are_paired_in_their_order_only() -> None:
    one = card_of({"it": Measure.of([0.0, 1.0, 1.0])}, ["a", "a", "b"])
    assert compare(one, one)[0].p == 1
    other = card_of({"it": Measure.of([0.0, 1.0, 1.0])}, ["b", "a", "a"])
    assert compare(one, other)[0].p is None
    [remark] = what_differs(one, other)
    assert remark.startswith("the examples have other orders")
    nameless = card_of({"it": Measure.of([0.0, 1.0, 1.0])}, [])
    assert compare(one, nameless)[0].p is None and "names no examples" in what_differs(one, nameless)[0]


def test_a_measure_of_some_examples_is_shown_without_p() -> None:
    card = card_of({"all": Measure.of([0.0, 1.0, 1.0]), "some": Measure.of([1.0])})
    assert [(found.measure, found.p) for found in compare(card, card)] == [("all", 1.0), ("some", None)]


def test_a_measure_that_is_no_number_has_no_difference() -> None:
    one, other = card_of({"it": Measure.of([(0, 0)], "ratio")}), card_of({"it": Measure.of([(1, 2)], "ratio")})
    [found] = compare(replace(one, results=_without_nan(one)), other)
    assert found.value is found.p is found.verdict is None


def _without_nan(card: Card) -> dict[str, Any]:
    fixed = {name: {**told, "value": None} for name, told in card.results["fixed"].items()}
    return {"fixed": fixed, "paper": fixed}


def test_what_follows_from_answers_is_no_setting_that_differs() -> None:
    told = ({"window": "32 s", "captions without words": n, "labels": n, "thresholds": n} for n in ("0", "3"))
    one, other = (card_of({"it": Measure.of([0.0, 1.0])}, protocol=protocol) for protocol in told)
    assert what_differs(one, other) == []


def test_what_else_differs_is_told_in_words() -> None:
    one = card_of({"it": Measure.of([0.0, 1.0]), "old": Measure.of([0.0, 1.0]), "both": Measure.of([0.0, 1.0])})
    measures = {"it": Measure.of([0.0, 1.0]), "new": Measure.of([0.0, 1.0]), "both": Measure.of([0.0, 1.0], "median")}
    protocol = {"model": "MMFusion", "window": "16 s", "missing": ["x"]}
    other = card_of(measures, protocol=protocol, hashes={"features": "g", "annotations": "a", "config": "other"})
    assert what_differs(one, other) == [
        "window: 32 s in the first, 16 s in the second",
        "missing: none in the first, 1 (x) in the second",
        "the files of features differ: the models have not seen the same videos",
        "measures of the first card only: old",
        "measures of the second card only: new",
        "both is the mean of examples in the first card, the median in the second: it is left out",
    ]
    assert [found.measure for found in compare(one, other)] == ["it"]
