"""Two result cards side by side: what differs in the numbers, how sure that is, and what else differs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mmpt.evaluators.bootstrap import DRAWS, drawn, middle, swapped
from mmpt.evaluators.cards import Card, groups_of, in_words

LEVEL = 0.05  # p below it is called a difference
NAMED = 5  # examples named in a warning
SYSTEM = (
    "model",
    "checkpoint",
    "num_iso_layer",
)  # what one compares, in a card's protocol; all else should be the same
OUTCOMES = ("thresholds", "captions without words", "labels")  # what follows from answers and annotations; no settings
HASHES = {"annotations": "texts or truth are not the same", "features": "the models have not seen the same videos"}

Verdict = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Difference:
    """One measure of two cards, by the fixed protocol.

    Attributes:
        measure: its name.
        first: the first card's result: `value`, `low`, `high`.
        second: the second card's.
        value: the second less the first; None where one of them is no number.
        low: lower end of the 95 % interval of the difference, from draws of videos with all of their examples, the
            same draws for both cards; None where the cards do not have the same examples.
        high: upper end.
        p: how often draws give a difference of the other sign, or none, counted on both sides; or, where that is more,
            how often one as large is there when the two answers to examples are swapped at random. With fewer than six
            examples on which the cards differ it is above 0.05.
        higher_is_better: whether a larger number is a better one.
    """

    measure: str
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    higher_is_better: bool = True

    @property
    def verdict(self) -> Verdict | None:
        """What the second card is, against the first; None where that is not known."""
        if self.p is None or self.value is None:
            return None
        if self.p >= LEVEL or self.value == 0:
            return "unclear"
        return "better" if (self.value > 0) == self.higher_is_better else "worse"


def compare(first: Card, second: Card, *, seed: int = 0) -> list[Difference]:
    """Compare two cards, example by example where they have the same examples.

    Args:
        first: a card.
        second: the card that is compared with it.
        seed: of the draws.

    Returns:
        A difference for each measure that both have, in the first card's order.
    """
    order = _order(first.examples, second.examples)
    mine, yours = first.results["fixed"], second.results["fixed"]
    return [
        _difference(name, (first, second), order, seed)
        for name in mine
        if name in yours and mine[name]["statistic"] == yours[name]["statistic"]
    ]


def what_differs(first: Card, second: Card) -> list[str]:
    """Say in words why two cards may not be alike in all but the model.

    Args:
        first: a card.
        second: another.

    Returns:
        A sentence for each thing; nothing when only models, checkpoints and configurations differ.
    """
    return [*_examples(first, second), *_settings(first, second), *_data(first, second), *_measures(first, second)]


def _difference(name: str, cards: tuple[Card, Card], order: Sequence[int] | None, seed: int) -> Difference:
    first, second = (card.results["fixed"][name] for card in cards)
    value = None if None in (first["value"], second["value"]) else float(second["value"]) - float(first["value"])
    found = Difference(name, first, second, value, higher_is_better=first["higher_is_better"])
    mine, yours = (np.asarray(card.parts.get(name, ()), np.float64) for card in cards)
    if value is None or order is None or not len(mine) == len(yours) == len(order):
        return found  # other examples, or a measure of a part of them
    groups = groups_of(cards[0].videos, len(mine))
    values = np.subtract(*drawn([yours[order], mine], first["statistic"], groups=groups, seed=seed))
    low, high = middle(values)
    one_sided = min((values <= 0).sum(), (values >= 0).sum())
    p = max(
        2 * (one_sided + 1) / (DRAWS + 1), swapped((mine, yours[order]), first["statistic"], groups=groups, seed=seed)
    )
    return replace(found, low=low, high=high, p=float(min(1.0, p)))


def _order(first: Sequence[str], second: Sequence[str]) -> list[int] | None:
    """Where the first card's examples stand in the second; None where they are others, or cannot be told apart."""
    if not first or len(first) != len(second):
        return None
    if list(first) == list(second):
        return list(range(len(first)))
    places = {name: place for place, name in enumerate(second)}
    if len(places) != len(second) or set(first) != set(places):
        return None
    return [places[name] for name in first]


def _examples(first: Card, second: Card) -> Iterator[str]:
    if _order(first.examples, second.examples) is not None:
        return
    mine, yours = dict.fromkeys(first.examples), dict.fromkeys(second.examples)
    if not mine or not yours:
        yield "a card names no examples, so nothing is compared example by example"
    elif mine.keys() == yours.keys():
        yield "the examples have other orders, and names that occur twice, so nothing is compared example by example"
    for which, own, others in (("first", mine, yours), ("second", yours, mine)):
        only = [name for name in own if name not in others]
        if only and others:
            named = ", ".join(only[:NAMED]) + (" ..." if len(only) > NAMED else "")
            yield f"{len(only):,} examples are in the {which} card only ({named})"


def _settings(first: Card, second: Card) -> Iterator[str]:
    mine, yours = first.protocol, second.protocol
    for key in dict.fromkeys([*mine, *yours]):
        if key not in (*SYSTEM, *OUTCOMES) and mine.get(key) != yours.get(key):
            yield f"{key}: {in_words(mine.get(key))} in the first, {in_words(yours.get(key))} in the second"


def _data(first: Card, second: Card) -> Iterator[str]:
    for key, why in HASHES.items():
        if first.hashes.get(key) != second.hashes.get(key):
            yield f"the files of {key} differ: {why}"


def _measures(first: Card, second: Card) -> Iterator[str]:
    mine, yours = first.results["fixed"], second.results["fixed"]
    for which, own, others in (("first", mine, yours), ("second", yours, mine)):
        if only := [name for name in own if name not in others]:
            yield f"measures of the {which} card only: {', '.join(only)}"
    for name in (name for name in mine if name in yours and mine[name]["statistic"] != yours[name]["statistic"]):
        yield (
            f"{name} is the {mine[name]['statistic']} of examples in the first card, the {yours[name]['statistic']} in "
            "the second: it is left out"
        )
