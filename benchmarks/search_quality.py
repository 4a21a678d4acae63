"""How well a search finds moments in the toy world: python -m benchmarks.search_quality [HOME].

HOME is a folder that `mmpt demo --home HOME` has made. Its held-out videos become a library, and the sentence of each
of their steps is looked for, in what is seen only. Then come sentences about nothing in that world, and, to see how
near misses fare, the sentences of an action in the library without the videos that show it.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpt.config.load import find_project_file
from mmpt.models.scorer import load
from mmpt.search.calibration import DEFAULT_THRESHOLD
from mmpt.search.library import VideoLibrary
from mmpt.search.query import Query
from mmpt.search.records import Moment

YAML = "toy/videoclip/how2.yaml"
ABOUT_NOTHING = [  # in the toy world
    "two boys arm-wrestle",
    "a dog runs across the floor",
    "a telescope in space",
    "the president speaks",
    "a woman applies make-up",
    "what is the capital of france",
    "a man plays the guitar on a stage",
    "snow falls in the mountains",
    "people cheer in a stadium",
    "my grandmother taught me that",
    "if you like this please subscribe",
    "asdf qwer",
]
OVERLAP = 0.3  # intersection over union from which two spans are one moment
TRIES = 20  # of what one gets without looking
THRESHOLDS = (1.0, 1.2, DEFAULT_THRESHOLD, 1.4, 1.5, 1.7)


@dataclass(frozen=True)
class Step:
    """What happens in a video: its name, when, and the sentence and action."""

    video: str
    start: float
    end: float
    text: str
    action: str


@dataclass(frozen=True)
class Found:
    """How well moments are found: shares of the steps, and the mean overlap of the right moments."""

    steps: int
    first: float
    five: float
    chance: float
    overlap: float


@dataclass(frozen=True)
class Judged:
    """How well a threshold tells.

    Attributes:
        answered: share of the sentences with a match that get an answer.
        silent: share of those about nothing that get none.
        precision: share of the answered sentences that have a match.
        right: share of the answers whose first moment is the right one.
    """

    answered: float
    silent: float
    precision: float
    right: float


def held_out(home: Path) -> list[Step]:
    """Give the steps of the held-out videos."""
    record = json.loads((home / "data" / "toy" / "record.json").read_text())
    return [
        Step(name, step["start"], step["end"], step["text"], step["action"])
        for name, video in record.items()
        if video["heldout"]
        for step in video["steps"]
    ]


def make_library(home: Path, folder: Path) -> VideoLibrary:
    """Put the held-out videos into a library; $MMPT_HOME is to be `home`."""
    library = VideoLibrary(folder, load(find_project_file(YAML)))
    library.add([home / "data" / "toy" / "heldout"])
    return library


def find(library: VideoLibrary, texts: Sequence[str], **options: Any) -> list[list[Moment]]:
    """Search for sentences in what is seen."""
    queries = [Query(text, **{"mode": "seen", **options}) for text in texts]
    return [result.moments for result in library.search_many(queries)]


def overlap(moment: Moment, step: Step) -> float:
    """Intersection over union with a step's span; 0 in another video."""
    if Path(moment.video.path).stem != step.video:
        return 0.0
    common = min(moment.end, step.end) - max(moment.start, step.start)
    return max(0.0, common) / (max(moment.end, step.end) - min(moment.start, step.start))


def how_found(library: VideoLibrary, steps: Sequence[Step]) -> Found:
    """Measure whether the right moments come, and how well their borders are."""
    moments = find(library, [step.text for step in steps], limit=5, threshold=None)
    values = [[overlap(moment, step) for moment in row] for row, step in zip(moments, steps, strict=True)]
    right = [max(row) for row in values if max(row) > OVERLAP]
    draws = random.Random(0)
    blind = [
        max(overlap(moment, step) for moment in draws.choice(moments)) > OVERLAP for step in steps for _ in range(TRIES)
    ]
    return Found(
        steps=len(steps),
        first=sum(row[0] > OVERLAP for row in values) / len(steps),
        five=len(right) / len(steps),
        chance=sum(blind) / len(blind),
        overlap=sum(right) / max(1, len(right)),
    )


def how_judged(library: VideoLibrary, steps: Sequence[Step], threshold: float) -> Judged:
    """Measure whether what is there is told from what is not."""
    something = find(library, [step.text for step in steps], threshold=threshold)
    nothing = find(library, ABOUT_NOTHING, threshold=threshold)
    hits, alarms = sum(map(bool, something)), sum(map(bool, nothing))
    firsts = [overlap(row[0], step) > OVERLAP for row, step in zip(something, steps, strict=True) if row]
    return Judged(
        answered=hits / len(steps),
        silent=1 - alarms / len(nothing),
        precision=hits / max(1, hits + alarms),
        right=sum(firsts) / max(1, len(firsts)),
    )


def near_misses(library: VideoLibrary, steps: Sequence[Step], action: str, threshold: float) -> tuple[int, float]:
    """Look for an action that is not there, though its shapes and colours are.

    Returns:
        How many sentences, and the share of those that get an answer. The videos with the action are taken out.
    """
    shown = {step.video for step in steps if step.action == action}
    library.remove([record.id for record in library.videos() if Path(record.path).stem in shown])
    texts = [step.text for step in steps if step.action == action]
    return len(texts), sum(map(bool, find(library, texts, threshold=threshold))) / len(texts)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", nargs="?", type=Path, default=Path("runs/demo"), help="(%(default)s)")
    home = parser.parse_args().home.absolute()
    os.environ["MMPT_HOME"] = str(home)
    steps = held_out(home)
    with tempfile.TemporaryDirectory() as folder:
        library = make_library(home, Path(folder) / "library")
        found = how_found(library, steps)
        tell(f"{found.steps} sentences, {library.stats()['windows']:,} windows; the right moment comes")
        tell(f"  first {found.first:.1%}, among five {found.five:.1%} (chance {found.chance:.1%})")
        tell(f"  with a mean overlap of {found.overlap:.2f}")
        tell("threshold  answered  about nothing, unanswered  precision  first moment right")
        for threshold in THRESHOLDS:
            judged = how_judged(library, steps, threshold)
            columns = f"{judged.answered:8.1%}{judged.silent:27.1%}{judged.precision:11.1%}{judged.right:20.1%}"
            tell(f"{threshold:9.2f}  {columns}")
        action = min({step.action for step in steps}, key=lambda name: sum(step.action == name for step in steps))
        count, share = near_misses(library, steps, action, DEFAULT_THRESHOLD)
        tell(f"near misses: of {count} sentences with {action!r}, which no video shows, {share:.1%} get an answer")


def tell(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
