"""What happens in the toy world: which combinations are held out, and the steps of each video.

Everything is a function of the seed and a video's number, so that more videos change none of those that were there.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from mmpt.toy.words import ACTIONS, COLOURS, SHAPES, SIZES, TEXTURES, Thing, sentence
from mmpt.utils.seeding import generator

VERSION = 3  # raise it whenever the same seed would give other videos or texts
FPS = 8  # frames per second
HELD_OUT_VIDEOS = 40  # at most; together they show every held-out combination once
STEPS = 5  # of a held-out video
HELD_OUT = HELD_OUT_VIDEOS * STEPS  # combinations
PER_ACTION = HELD_OUT // len(ACTIONS)
PRIMARY = 8  # tasks of held-out videos, which list all actions
RELATED = 12  # tasks of training videos
SECONDS = (30.0, 60.0)  # the length of a video
STEP_SECONDS = (4.0, 8.0)
PAUSE_SECONDS = (0.8, 1.6)  # before, between and after steps
LONG_SECONDS = (6.0, 12.0)  # of an empty beginning or end besides: in held-out videos, and in every other one
MOST_UNSEEN = 6  # of the 10 actions, so that each colour is seen on each shape

# What a generator is for: its place between the seed and the number.
_COMBINATIONS, _TASKS, _TRAINING, _HELD_OUT = range(4)
STREAMS = 4  # further ones begin here

Combination = tuple[str, str, str]  # action, shape, colour


@dataclass(frozen=True)
class Step:
    """A step of a video: one action on one object.

    Attributes:
        start: second at which the action begins, a whole number of frames.
        end: second at which it ends.
        action: what is done.
        thing: what it is done to.
        text: that in a sentence.
    """

    start: float
    end: float
    action: str
    thing: Thing
    text: str

    @property
    def combination(self) -> Combination:
        """Action, shape and colour."""
        return self.action, self.thing.shape, self.thing.colour


@dataclass(frozen=True)
class Video:
    """A video before it is drawn.

    Attributes:
        id: its name.
        number: of its kind, from 0 on.
        held_out: whether it is for testing.
        task: what is made; a number of `tasks`.
        seconds: its length, a whole number of seconds.
        steps: in order of time.
    """

    id: str
    number: int
    held_out: bool
    task: int
    seconds: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Task:
    """A kind of video.

    Attributes:
        primary: whether held-out videos show it, and no others.
        actions: its steps, in order; a held-out video shows half of them.
    """

    primary: bool
    actions: tuple[str, ...]


def held_out_count(videos: int) -> int:
    """Say how many videos are held out.

    Args:
        videos: for training.

    Returns:
        A fifth as many, from 2 to 40, always even: two videos show each action once.
    """
    return min(HELD_OUT_VIDEOS, max(2, 2 * (videos // 10)))


def plan_videos(seed: int, videos: int) -> list[Video]:
    """Plan all videos.

    Args:
        seed: of the world.
        videos: how many there are for training.

    Returns:
        Those for training, then the held-out ones.
    """
    training = [plan_training(seed, number) for number in range(videos)]
    return training + [plan_held_out(seed, number) for number in range(held_out_count(videos))]


@functools.lru_cache(maxsize=4)
def unseen(seed: int) -> dict[str, tuple[tuple[str, str], ...]]:
    """Draw the combinations that no training video shows.

    Of the 64 pairs of shape and colour each action is held out with 20: two or three of each shape and each colour.

    Args:
        seed: of the world.

    Returns:
        action -> its pairs, in the order of the held-out videos that show them; shared, do not change it.
    """
    rng = generator(seed, _COMBINATIONS)
    while True:
        drawn = {action: _draw_pairs(rng) for action in ACTIONS}
        often = [pair for pairs in drawn.values() for pair in pairs]
        if max(map(often.count, often)) <= MOST_UNSEEN:
            return drawn


def _draw_pairs(rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Two and a half diagonals of a table of shapes and colours whose rows and columns are mixed."""
    shapes, colours = rng.permutation(list(SHAPES)), rng.permutation(list(COLOURS))
    side = len(shapes)
    cells = [(str(shapes[row]), str(colours[(row + shift) % side])) for shift in range(3) for row in range(side)]
    return tuple(cells[index] for index in rng.permutation(PER_ACTION))


@functools.lru_cache(maxsize=4)
def seen(seed: int) -> frozenset[Combination]:
    """Give the combinations that training videos are made of.

    Args:
        seed: of the world.

    Returns:
        All but the held-out ones.
    """
    out = unseen(seed)
    return frozenset(
        (action, shape, colour)
        for action in ACTIONS
        for shape in SHAPES
        for colour in COLOURS
        if (shape, colour) not in out[action]
    )


@functools.lru_cache(maxsize=4)
def tasks(seed: int) -> tuple[Task, ...]:
    """Draw what videos are about.

    Args:
        seed: of the world.

    Returns:
        First the tasks of held-out videos, each an order of all ten actions; then those of training videos.
    """
    rng = generator(seed, _TASKS)
    drawn: list[Task] = []
    for number in range(PRIMARY + RELATED):
        mixed = tuple(str(action) for action in rng.permutation(list(ACTIONS)))
        related = number - PRIMARY
        drawn.append(Task(True, mixed) if related < 0 else Task(False, mixed[: 4 + related % 4]))
    return tuple(drawn)


def plan_training(seed: int, number: int) -> Video:
    """Plan a training video.

    Args:
        seed: of the world.
        number: from 0 on.

    Returns:
        The plan; its combinations are seen ones.
    """
    rng = generator(seed, _TRAINING, number)
    task = PRIMARY + number % RELATED
    out = unseen(seed)
    pairs = [(shape, colour) for shape in SHAPES for colour in COLOURS]
    shown = []
    for action in _ordered(tasks(seed)[task].actions, rng):
        allowed = [pair for pair in pairs if pair not in out[action]]
        shown.append((action, *allowed[int(rng.integers(len(allowed)))]))
    return _timed(Video(f"how{number:04}", number, False, task, 0, ()), shown, rng)


def plan_held_out(seed: int, number: int) -> Video:
    """Plan a held-out video.

    Args:
        seed: of the world.
        number: from 0 on, below 40.

    Returns:
        The plan; each of its combinations is shown here and nowhere else.
    """
    rng = generator(seed, _HELD_OUT, number)
    couple, side = divmod(number, 2)
    task = couple % PRIMARY
    actions = tasks(seed)[task].actions
    begin = int(generator(seed, _TASKS, 1 + couple).integers(len(actions) - STEPS + 1))
    out = unseen(seed)
    shown = [
        (action, *out[action][couple])
        for place, action in enumerate(actions)
        if (begin <= place < begin + STEPS) == (side == 0)
    ]
    return _timed(Video(f"new{number:03}", number, True, task, 0, ()), shown, rng)


def _ordered(actions: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    """The steps of a task, in a third of the videos with two neighbours exchanged."""
    ordered = list(actions)
    if rng.random() < 1 / 3:
        place = int(rng.integers(len(ordered) - 1))
        ordered[place : place + 2] = reversed(ordered[place : place + 2])
    return ordered


def _timed(video: Video, shown: list[Combination], rng: np.random.Generator) -> Video:
    """Draw when things happen, and what else objects are like."""
    count = len(shown)
    while True:
        pauses = rng.uniform(*PAUSE_SECONDS, count + 1)
        if video.held_out or rng.random() < 0.5:
            pauses[-int(rng.integers(2))] += rng.uniform(*LONG_SECONDS)  # the first or the last one
        lengths = np.stack([pauses[:-1], rng.uniform(*STEP_SECONDS, count)], axis=1)
        edges = np.rint(lengths * FPS).astype(int).cumsum().reshape(-1, 2) / FPS
        seconds = int(np.ceil(edges[-1, 1] + pauses[-1]))
        if SECONDS[0] <= seconds <= SECONDS[1]:
            break
    steps = []
    for (start, end), (action, shape, colour) in zip(edges.tolist(), shown, strict=True):
        size, texture = (str(rng.choice(list(names))) for names in (SIZES, TEXTURES))
        thing = Thing(shape, colour, size, texture)
        steps.append(Step(start, end, action, thing, sentence(action, thing, rng)))
    return replace(video, seconds=seconds, steps=tuple(steps))
