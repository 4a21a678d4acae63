"""How far readers get who see only a part of what a clip shows: the ceilings of retrieval in the toy world.

A reader who knows some attributes puts all clips that fit a sentence in them before all others, and cannot tell those
that fit from one another. What is expected of it is exact: no draws are made.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

ATTRIBUTES = ("action", "shape", "colour")
DEPTHS = (1, 5, 10)


def attributes(record: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Say what each clip of the gallery shows.

    Args:
        record: the value of a world's record.json.

    Returns:
        clip -> `action`, `shape` and `colour`; the clips of held-out videos in order.
    """
    return {
        step["clip"]: {name: step[name] for name in ATTRIBUTES}
        for video in record.values()
        if video["heldout"]
        for step in video["steps"]
    }


def ceilings(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Compute what readers of a part of the attributes reach on the gallery, sentence to clip.

    Args:
        record: the value of a world's record.json.

    Returns:
        Reader (`nothing`, which is chance, `colour`, `action+shape` and so on) -> `R@1`, `R@5`, `R@10`, and how often
        the first answer's `action`, `shape` and `colour` are right; all between 0 and 1.
    """
    clips = [tuple(clip[name] for name in ATTRIBUTES) for clip in attributes(record).values()]
    readers: dict[str, dict[str, float]] = {}
    for count in range(len(ATTRIBUTES)):
        for known in itertools.combinations(range(len(ATTRIBUTES)), count):
            name = "+".join(ATTRIBUTES[place] for place in known) or "nothing"
            readers[name] = _expected(clips, known)
    return readers


def _expected(clips: Sequence[tuple[str, ...]], known: Sequence[int]) -> dict[str, float]:
    """The mean over all sentences, and over all orders of the clips that fit equally well."""
    totals: dict[str, float] = {f"R@{depth}": 0.0 for depth in DEPTHS} | dict.fromkeys(ATTRIBUTES, 0.0)
    for wanted in clips:
        fitting = [clip for clip in clips if all(clip[place] == wanted[place] for place in known)]
        for depth in DEPTHS:
            totals[f"R@{depth}"] += min(1.0, depth / len(fitting))
        for place, name in enumerate(ATTRIBUTES):
            totals[name] += sum(clip[place] == wanted[place] for clip in fitting) / len(fitting)
    return {name: total / len(clips) for name, total in totals.items()}
