"""Captions cleaned as the original cleans them: the same outcomes, as often."""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from mmpt.text.captions import Captions, parse_captions
from mmpt.text.dedup import dedup, dedup_entry, video_generator
from tests.parity.distributions import chi_square_tail

COVERS = "08_dedup"
DRAWS = 2000
LEAST_P = 1e-4  # the draws are seeded: a failure is a change


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict:
        return json.loads((self.folder / "dedup.json").read_text())["cases"][self.name]


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "dedup.json").read_text())["cases"]]


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    assert {path.name for path in (golden_dir / COVERS).iterdir()} == {"dedup.json"}


def test_outcomes_are_the_originals(case: Case) -> None:
    recorded = case.recorded
    if recorded["errors"]:
        with pytest.raises(ValueError, match="caption 2 ends before it starts"):
            parse_captions(recorded["in"])
        return
    captions = parse_captions(recorded["in"])
    before = captions.to_json()
    seen = Counter(dedup(captions, video_generator(0, f"video{number}"))[0].to_json() for number in range(DRAWS))
    assert captions.to_json() == before, "the input was changed"
    counts = {Captions(**entry["out"]).to_json(): entry["count_in_2000"] for entry in recorded["outcomes"]}
    assert set(seen) == set(counts)
    assert two_sample_p([(seen[outcome], counts[outcome]) for outcome in counts]) > LEAST_P


def test_every_caption_is_counted(case: Case) -> None:
    captions = parse_captions(case.recorded["in"], backwards=True)
    _, tally = dedup_entry("video", captions, seed=0)
    assert tally.captions == len(captions) == tally.kept + tally.merged + tally.dropped


def test_the_comparison_sees_other_frequencies() -> None:
    assert two_sample_p([(1000, 1040), (1000, 960)]) > 0.1
    assert two_sample_p([(1300, 1040), (700, 960)]) < LEAST_P


def test_the_comparison_takes_any_number_of_outcomes() -> None:
    # the tail of chi-square at 0.05, from any table
    for freedom, statistic in {1: 3.841, 2: 5.991, 3: 7.815, 4: 9.488, 10: 18.307, 30: 43.773}.items():
        assert chi_square_tail(statistic, freedom) == pytest.approx(0.05, abs=1e-4)
    assert two_sample_p([(1000, 1000)]) == 1.0
    assert two_sample_p([(600, 640), (700, 690), (700, 670)]) > 0.1
    assert two_sample_p([(800, 640), (500, 690), (700, 670)]) < LEAST_P


def two_sample_p(pairs: list[tuple[int, int]]) -> float:
    """Chi-square test of homogeneity of two samples of the same size over the same outcomes."""
    statistic = sum((ours - theirs) ** 2 / (ours + theirs) for ours, theirs in pairs)
    freedom = len(pairs) - 1
    return chi_square_tail(statistic, freedom) if freedom else 1.0
