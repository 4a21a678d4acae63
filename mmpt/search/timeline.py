"""A video's seconds put into parts: the steps of a recipe in order, or labels that come and go.

Shapes: T seconds, K steps, L labels, R sentences that have nothing to do with the video.
"""

import itertools
from dataclasses import dataclass

import numpy as np

BACKGROUND = -1  # label of a second that none fits
SPREAD_OF_NORMAL = 1.4826  # a normal distribution's standard deviation, in median distances from its middle
NO_SPREAD = 1e-6  # of scores; anything less is rounding

# What is seen in videos everywhere. A label has to fit better than these do, which tells whether it fits at all.
UNRELATED = (
    "a man plays the guitar on a stage",
    "a dog runs across a field",
    "people dance at a wedding",
    "a car drives along a highway",
    "a woman talks to the camera",
    "children play football in a park",
    "a plane takes off from a runway",
    "someone paints a wall with a roller",
    "a cat sleeps on a sofa",
    "waves break on a beach",
    "a surgeon works in an operating room",
    "a boxer hits a punching bag",
    "a train arrives at a station",
    "a teacher writes on a blackboard",
    "snow falls on a street at night",
    "a bird builds a nest in a tree",
    "a mechanic changes a tyre",
    "a crowd cheers in a stadium",
    "a girl brushes her hair",
    "a man reads the news in a studio",
    "a horse jumps over a fence",
    "someone types on a keyboard",
    "a fisherman pulls in a net",
    "a skier goes down a slope",
    "a farmer drives a tractor",
    "a baby laughs in a chair",
    "workers build a brick house",
    "a diver swims past a reef",
    "a woman sews a dress",
    "someone opens a cardboard box",
    "a cyclist climbs a mountain road",
    "a fire burns in a fireplace",
    "a cook chops vegetables",
    "a nurse measures blood pressure",
    "a man shaves his beard",
    "fish swim in an aquarium",
    "a girl solves a puzzle",
    "a drone flies over a city",
    "someone waters plants on a balcony",
    "a band marches down the street",
)


@dataclass(frozen=True)
class Part:
    """Some seconds in a row that belong together.

    Attributes:
        start: first second.
        end: second after the last.
        label: number of the step or label; BACKGROUND for none.
    """

    start: int
    end: int
    label: int


def allot_steps(scores: np.ndarray, least: int = 1) -> list[Part]:
    """Divide a video among steps that follow one another, each for at least so long, so that they fit best.

    The steps cover the whole video: what happens before, between and after them goes to one of them. A step's own mean
    is taken off first, for a sentence that fits everything a little would otherwise get all the time there is.

    Args:
        scores: float (T, K), how well each second fits each step.
        least: seconds that a step takes at least.

    Returns:
        One part for each step, in order. Of divisions that are equally good, the one that goes on earliest at the end.

    Raises:
        ValueError: there is no step, or the video is too short for them.
    """
    seconds, steps = scores.shape
    if not steps:
        raise ValueError("there is no step; give one at least")
    if least < 1 or seconds < steps * least:
        less = ", or less time to each" if least > 1 else ""
        raise ValueError(
            f"{steps:,} steps of at least {least} s each do not fit into {seconds:,} s; give fewer steps{less}"
        )
    centred = np.asarray(scores, np.float64) - scores.mean(axis=0, dtype=np.float64)
    sums = np.vstack([np.zeros(steps), centred.cumsum(axis=0)])  # (T + 1, K): of the seconds before each bound
    # best[b]: of the steps so far on the seconds before bound b; out of reach where they would be too short
    best = np.where(np.arange(seconds + 1) < least, -np.inf, sums[:, 0])
    came = np.zeros((steps, seconds + 1), np.int64)  # the bound at which each step begins, by the one at which it ends
    for step in range(1, steps):
        before = best - sums[:, step]
        highest = np.maximum.accumulate(before)
        rises = np.r_[True, before[1:] > highest[:-1]]
        earliest = np.maximum.accumulate(np.where(rises, np.arange(seconds + 1), 0))
        came[step, least:] = earliest[: seconds + 1 - least]
        best = np.r_[np.full(least, -np.inf), highest[: seconds + 1 - least]] + sums[:, step]
    bounds = [seconds]
    for step in reversed(range(1, steps)):
        bounds.append(int(came[step, bounds[-1]]))
    bounds = [0, *reversed(bounds)]
    return [Part(start, end, step) for step, (start, end) in enumerate(itertools.pairwise(bounds))]


def stand_out(scores: np.ndarray, unrelated: np.ndarray) -> np.ndarray:
    """Say how far labels stand out from sentences that have nothing to do with a video, second by second.

    Args:
        scores: float (T, L), of the labels.
        unrelated: float (T, R), of the sentences.

    Returns:
        float64 (T, L): the distance from the sentences' median, in their standard deviations. It is on one scale for
        all models and videos; a few of the sentences may fit the video after all.
    """
    scores, unrelated = np.asarray(scores, np.float64), np.asarray(unrelated, np.float64)
    middle = np.median(unrelated, axis=1, keepdims=True)
    spread = SPREAD_OF_NORMAL * np.median(np.abs(unrelated - middle), axis=1, keepdims=True)
    return (scores - middle) / np.maximum(spread, NO_SPREAD)


def label_seconds(scores: np.ndarray, background: float | None, switch: float) -> list[Part]:
    """Give each second a label or none, so that what is gained by fitting is most, less what each change costs.

    Args:
        scores: float (T, L), T and L at least 1.
        background: what a second without a label scores; None gives every second a label.
        switch: cost of each change from one label, or none, to another; in the unit of the scores.

    Returns:
        The parts, one after the other, over all T seconds. At equal gain things stay as they are, and the label named
        first is taken; background comes last.

    Raises:
        ValueError: there are no seconds or no labels, or the cost is negative.
    """
    seconds, labels = scores.shape
    if not seconds or not labels:
        raise ValueError(f"scores are {scores.shape}; give one second and one label at least")
    if not switch >= 0:
        raise ValueError(f"a change costs {switch}; give 0 or more")
    gains = np.asarray(scores, np.float64)
    if background is not None:
        gains = np.column_stack([gains, np.full(seconds, background)])
    came = np.empty(gains.shape, np.int64)
    total = gains[0]
    stay = np.arange(gains.shape[1])
    for second in range(1, seconds):
        first = int(total.argmax())
        changed = total[first] - switch > total
        came[second] = np.where(changed, first, stay)
        total = np.where(changed, total[first] - switch, total) + gains[second]
    path = np.empty(seconds, np.int64)
    path[-1] = total.argmax()
    for second in reversed(range(1, seconds)):
        path[second - 1] = came[second, path[second]]
    path[path == labels] = BACKGROUND
    return _parts(path)


def _parts(path: np.ndarray) -> list[Part]:
    bounds = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [Part(start, end, int(path[start])) for start, end in itertools.pairwise(bounds)]
