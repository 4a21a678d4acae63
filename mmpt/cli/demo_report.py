"""Puts the report of a demo together from what lies in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmpt.cli.console import quiet_transformers
from mmpt.cli.demo import TRAINED
from mmpt.cli.demo_moments import Step, ask, watch
from mmpt.cli.plots_training import series
from mmpt.cli.report import Measured, Report, percent
from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.models.scorer import load
from mmpt.toy.readers import ATTRIBUTES
from mmpt.training.metrics_log import read_metrics
from mmpt.training.session import run_folder

QUERIES = 6  # sentences that are asked, at equal distances in the list


def report(
    world: Path,
    record: Mapping[str, Any],
    told: Sequence[Measured],
    readers: Sequence[tuple[str, float, float]],
    commands: Sequence[str],
) -> Report:
    """Look at the trained model's videos, and say all that there is to say.

    Args:
        world: the toy world's folder.
        record: what is shown in it.
        told: the measures.
        readers: who is asked for clips, with R@1 and R@5.
        commands: what makes the same again.

    Returns:
        The report.
    """
    yaml = find_project_file(TRAINED)
    log = read_metrics(run_folder(load_config(yaml)))
    with quiet_transformers():
        scorer = load(yaml, use_cache=False)
    steps = held_out_steps(record)
    asked = steps[:: -(-len(steps) // QUERIES)]
    first = [step for step in steps if step.video == steps[0].video]
    by_name = {each.what: each for each in told}
    updates, losses = series(log, "update", "loss")
    learned = [video for video in record.values() if not video["heldout"]]
    return Report(
        title="VideoCLIP, learnt from nothing",
        about=(
            f"A small world was made: {len(learned):,} narrated how-to videos of 30 to 60 seconds. A narrator says "
            "what is done to which object, in many words, ahead of the action or behind it, and automatic captions "
            f"write it down. Two towers with random weights watched and read for {len(updates):,} updates.",
            f"Then they were asked about {len(record) - len(learned):,} other videos. These show combinations of "
            "action, shape and colour that were never shown in training. Nothing was downloaded.",
        ),
        tiles=(
            *((percent(each.value), each.what) for each in told[:2]),
            (percent(by_name["five-choice questions"].value), "five-choice questions, of which chance gets 20 %"),
            (f"{len(steps):,}", "clips to find the right one among"),
        ),
        training=(updates, losses),
        validation=series(log, "valid", "loss"),
        measures=tuple(told),
        readers=tuple(readers),
        watched=watch(scorer, world / "heldout" / f"{first[0].video}.mp4", _features(world, first[0].video), first),
        queries=tuple(ask(scorer, world / "heldout", world / "features", steps, asked)),
        commands=tuple(commands),
    )


def held_out_steps(record: Mapping[str, Any]) -> list[Step]:
    """List what happens in held-out videos.

    Args:
        record: the value of a world's record.json.

    Returns:
        The steps, in order.
    """
    return [
        Step(name, step["start"], step["end"], step["text"], {fact: step[fact] for fact in ATTRIBUTES})
        for name, video in record.items()
        if video["heldout"]
        for step in video["steps"]
    ]


def _features(world: Path, video: str) -> Path:
    return world / "features" / f"{video}.npy"
