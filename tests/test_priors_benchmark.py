"""What annotation files give without a model, as docs/evaluating.md prints it."""

from pathlib import Path

import pytest

from benchmarks.priors import coin, didemo
from mmpt.evaluators.bootstrap import interval
from mmpt.evaluators.cards import groups_of
from tests.conftest import SHARED

ANNOTATIONS = SHARED / "data" / "annotations"


def annotations(name: str) -> Path:
    path = ANNOTATIONS / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: it is the published file, which is not part of the repository")
    return path


def test_didemo_is_solved_best_by_the_first_piece() -> None:
    baselines, measures, videos = didemo(annotations("didemo_test_data.json"))
    first = baselines["always the first piece"]
    assert (round(first["rank1"], 3), round(first["rank5"], 3)) == (0.194, 0.662)
    assert round(baselines["chance"]["rank1"], 3) == 0.037 and 0.10 < baselines["random features"]["rank1"] < 0.11
    together, alone = (interval(measures["rank1"], groups=groups) for groups in (groups_of(videos, len(videos)), None))
    assert len(set(videos)) == 1004 and 1.1 < (together[1] - together[0]) / (alone[1] - alone[0]) < 1.5


def test_nothing_labelled_is_most_of_coin() -> None:
    baselines, measures, _ = coin(annotations("coin_official_split_2506_of_2797.json"))
    assert round(baselines["all background"]["frame_acc"], 3) == 0.585
    assert interval(measures["frame_acc"]) == pytest.approx((0.574, 0.595), abs=0.001)
