"""Captions cleaned as the original cleans them: the same outcomes, as often."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from mmpt.text.captions import Captions, parse_captions
from mmpt.text.dedup import dedup, dedup_entry, video_generator

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


def two_sample_p(pairs: list[tuple[int, int]]) -> float:
    """Chi-square test of homogeneity of two samples of the same size over the same outcomes."""
    statistic = sum((ours - theirs) ** 2 / (ours + theirs) for ours, theirs in pairs)
    freedom = len(pairs) - 1
    if freedom == 0:
        return 1.0
    if freedom == 1:
        return math.erfc(math.sqrt(statistic / 2))
    assert freedom == 3, "only the numbers of outcomes that are recorded"
    half = statistic / 2
    return math.erfc(math.sqrt(half)) + 2 * math.sqrt(half / math.pi) * math.exp(-half)
