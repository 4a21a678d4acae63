"""How well VideoCLIP learns in the toy world: the demo's training and evaluation over several seeds, against the bars.

Run: python -m benchmarks.toy [--home runs/toy-bars] [--seeds 0 1 2]

A seed is a world of its own (other combinations held out, other videos) and a training of its own. What is done is
kept in the home folder, so that a second run goes on. The last table is what docs/results.md holds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.paired import show
from mmpt.cli.demo import TRAINED, VIDEOS, WORLD, overrides, standing_in, steps
from mmpt.cli.demo_measures import measure_all
from mmpt.cli.demo_training import train
from mmpt.cli.main import main
from mmpt.cli.report import Measured, percent
from mmpt.config.load import find_project_file

HEADER = ("measure", "mean", "seeds", "goal", "without looking")


def run(home: Path, seeds: Sequence[int], updates: int | None) -> list[tuple[str, ...]]:
    """Train and measure, seed by seed.

    Args:
        home: where to keep it all.
        seeds: of worlds and trainings.
        updates: of each training; None for the project's number.

    Returns:
        Rows of `HEADER`.
    """
    found = [_of_seed(home / str(seed), seed, updates) for seed in seeds]
    return [_row([measures[place] for measures in found]) for place in range(len(found[0]))]


def _of_seed(home: Path, seed: int, updates: int | None) -> list[Measured]:
    with standing_in(home):
        for _, commands in steps(VIDEOS, seed):
            for words in commands:
                if code := main(words):
                    raise SystemExit(code)
        began = time.process_time()
        train(find_project_file(TRAINED), overrides(VIDEOS, updates, seed))
        told, readers = measure_all(json.loads((WORLD / "record.json").read_text(encoding="utf-8")))
    seconds = f"{time.process_time() - began:.0f} CPU seconds to train and measure"
    rows = [(name, percent(first), percent(fifth)) for name, first, fifth in readers]
    show(f"seed {seed}, {seconds}", ("who", "R@1", "R@5"), rows)
    return told


def _row(measures: Sequence[Measured]) -> tuple[str, ...]:
    first = measures[0]
    goals = [each.goal for each in measures if each.goal is not None]
    blind = [max(value for _, value in each.baselines) for each in measures]
    return (
        first.what,
        percent(statistics.mean(each.value for each in measures)),
        ", ".join(percent(each.value) for each in measures),
        replace(first, goal=statistics.mean(goals)).wanted if goals else "",
        percent(statistics.mean(blind)),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("runs/toy-bars"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int)
    args = parser.parse_args()
    show("on unseen combinations", HEADER, run(args.home, args.seeds, args.updates))
