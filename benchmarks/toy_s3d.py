"""The small S3D beside the weight-free backbone, in the toy world: the same videos, training and evaluation.

Run: python -m benchmarks.toy_s3d [--home runs/toy-bars] [--seeds 0] [--arms grid random narration]

Three backbones give the vectors of a second: `grid`; a narrow S3D with random weights, its BatchNorms calibrated on
training videos; and the same one taught for about a minute and a half by MIL-NCE on the training videos' narration.
The home folder may be that of benchmarks.toy, whose worlds and trainings are `grid`'s here. What is done is kept: the
same command goes on after any stop.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.narrow_s3d import Narrated, calibrate, fresh, pretrain, read_training, save
from benchmarks.paired import run_paired, show
from mmpt.cli.console import out, quiet_transformers
from mmpt.cli.demo import TRAINED, VIDEOS, WORLD, overrides, standing_in, steps
from mmpt.cli.demo_measures import PROJECT, measure_all
from mmpt.cli.demo_training import train
from mmpt.cli.main import main
from mmpt.cli.report import percent
from mmpt.config.load import find_project_file
from mmpt.utils.files import atomic_path
from mmpt.utils.tables import read_json
from mmpt.video.backbones.base import Backbone
from mmpt.video.backbones.grid import GridBackbone
from mmpt.video.backbones.s3d import S3D, S3DBackbone
from mmpt.video.features import extract

ARMS = {"grid": "grid, no weights", "random": "narrow S3D, random", "narration": "narrow S3D, narration"}
WEIGHTS, MEASURES = Path("s3d"), Path("s3d.json")
OWN = ("features", "shards")  # of a world: what depends on the backbone
TIMED = 3  # videos

Found = dict[str, float]


def run(home: Path, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, list[Found]]:
    """Prepare, train and measure, seed by seed and arm by arm.

    Args:
        home: where to keep it all.
        seeds: of worlds, networks and trainings.
        arms: names out of `ARMS`.

    Returns:
        Arm -> for each seed, measure -> value.
    """
    found: dict[str, list[Found]] = {arm: [] for arm in arms}
    for seed in seeds:
        base = (home / str(seed)).absolute()
        with standing_in(base):
            for _, commands in steps(VIDEOS, seed):
                _run(commands)
            if "grid" in arms:
                found["grid"].append(_measured(seed))
        videos = _Once(base / WORLD)
        for arm in arms:
            if arm != "grid":
                with standing_in(home / f"{seed}-s3d-{arm}"):
                    found[arm].append(_of_network(arm, base, videos, seed))
    return found


def speeds(home: Path, seeds: Sequence[int], arms: Sequence[str]) -> Found:
    """Extract a few held-out videos with each backbone in turn.

    Args:
        home: as for `run`, which came before.
        seeds: as for `run`; the first counts.
        arms: as for `run`.

    Returns:
        Arm -> seconds of video in a second, decoding included.
    """
    films = sorted((home / str(seeds[0]) / WORLD / "heldout").glob("*.mp4"))[:TIMED]
    backbones: dict[str, Backbone] = {
        arm: GridBackbone() if arm == "grid" else S3DBackbone(home / f"{seeds[0]}-s3d-{arm}" / WEIGHTS) for arm in arms
    }

    def seconds(backbone: Backbone) -> int:
        return sum(len(extract(film, backbone).array) for film in films)

    forms: Mapping[str, Callable[[], int]] = {arm: lambda b=backbone: seconds(b) for arm, backbone in backbones.items()}
    with quiet_transformers():
        return {timed.name: timed.result / timed.seconds for timed in run_paired(forms, turns=3)}


def table(found: Mapping[str, Sequence[Found]], fast: Found) -> list[tuple[str, ...]]:
    """Lay the arms out side by side.

    Args:
        found: what `run` gives.
        fast: what `speeds` gives.

    Returns:
        Rows: a measure and its mean of each arm, behind it those of the seeds where there are several.
    """
    names = list(next(iter(found.values()))[0])
    rows = [(name, *(_cell([each[name] for each in found[arm]]) for arm in found)) for name in names]
    return [*rows, ("extraction, x real time", *(f"{fast[arm]:.0f}" for arm in found))]


class _Once:
    """A world's training videos, read where somebody needs them and not before."""

    def __init__(self, world: Path) -> None:
        self._world = world
        self._videos: list[Narrated] | None = None

    def __call__(self) -> list[Narrated]:
        if self._videos is None:
            self._videos = read_training(self._world)
        return self._videos


def _of_network(arm: str, base: Path, videos: _Once, seed: int) -> Found:
    """What `grid` gets done, with S3D in its place; in the current folder."""
    if not WEIGHTS.is_dir():
        began = time.process_time()
        with quiet_transformers():
            save(_network(arm, videos(), seed), WEIGHTS)
        out.print(f"   {ARMS[arm]}: made in {time.process_time() - began:.0f} CPU seconds, with reading videos")
    _share(base)
    _, (_, (extracting,)), (_, prepared) = steps(VIDEOS, seed)
    name = extracting.index("grid")
    _run([[*extracting[:name], "s3d", "--weights", str(WEIGHTS), *extracting[name + 1 :]]])
    _run([words for words in prepared if words[0] == "shard" or words[:2] == ["captions", "tokenize"]])
    return _measured(seed)


def _network(arm: str, videos: Sequence[Narrated], seed: int) -> S3D:
    model = fresh(videos, seed)
    if arm == "narration":
        losses = pretrain(model, videos, seed)
        first, last = (statistics.mean(part) for part in (losses[:10], losses[-10:]))
        out.print(f"   MIL-NCE: loss {first:.2f} in the first ten steps of {len(losses)}, {last:.2f} in the last ten")
    return calibrate(model, videos, seed)


def _share(base: Path) -> None:
    """Lay out the project and the world of `base` here: linked, but for what depends on the backbone."""
    project = Path("projects") / PROJECT
    project.mkdir(parents=True, exist_ok=True)
    for yaml in find_project_file(TRAINED).resolve().parent.glob("*.yaml"):
        text = yaml.read_text(encoding="utf-8")
        with atomic_path(project / yaml.name) as path:
            path.write_text(text.replace("backbone: grid", "backbone: s3d"), encoding="utf-8")
    WORLD.mkdir(parents=True, exist_ok=True)
    for there in (base / WORLD).iterdir():
        if there.name not in OWN and not (WORLD / there.name).exists():
            os.symlink(there, WORLD / there.name)


def _measured(seed: int) -> Found:
    """Train and evaluate in the current folder as the demo does."""
    if MEASURES.is_file():
        return read_json(MEASURES)
    train(find_project_file(TRAINED), overrides(VIDEOS, None, seed))
    told, _ = measure_all(read_json(WORLD / "record.json"))
    found = {each.what: each.value for each in told}
    with atomic_path(MEASURES) as path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _run(commands: Sequence[Sequence[str]]) -> None:
    for words in commands:
        if code := main(list(words)):
            raise SystemExit(code)


def _cell(values: Sequence[float]) -> str:
    each = f" ({', '.join(f'{100 * value:.0f}' for value in values)})" if len(values) > 1 else ""
    return f"{percent(statistics.mean(values))}{each}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("runs/toy-bars"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    args = parser.parse_args()
    measures = run(args.home.absolute(), args.seeds, args.arms)
    rows = table(measures, speeds(args.home.absolute(), args.seeds, args.arms))
    show("on unseen combinations; by seed in brackets", ("measure", *(ARMS[arm] for arm in args.arms)), rows)
