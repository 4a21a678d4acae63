"""How well a search finds what it is to find, with a model that was trained in the toy world.

The model is small and was trained for a minute: the bars are what it must reach on any machine, well below what it
reaches on one. The figures of a fuller training are in docs/search.md.
"""

import sys

import pytest

from benchmarks.search_quality import Step, find, held_out, how_found, how_judged, make_library
from mmpt.search.calibration import DEFAULT_THRESHOLD
from mmpt.search.library import VideoLibrary
from tests.toyworld import ToyWorld


@pytest.fixture(scope="module")
def indexed(toy_world: ToyWorld, tmp_path_factory: pytest.TempPathFactory):
    """A library of the held-out videos, and their steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMPT_HOME", str(toy_world.home))
        library = make_library(toy_world.home, tmp_path_factory.mktemp("quality") / "library")
    return library, held_out(toy_world.home)


def tell(figures: object) -> None:
    """Show figures, with pytest -s."""
    sys.stdout.write(f"\n{figures}\n")


def test_the_right_moment_is_among_the_first_five_and_has_its_borders(indexed: tuple[VideoLibrary, list[Step]]) -> None:
    found = how_found(*indexed)
    tell(found)
    assert found.five > max(0.3, 1.5 * found.chance)
    assert found.overlap > 0.55


def test_the_default_threshold_tells_something_from_nothing(indexed: tuple[VideoLibrary, list[Step]]) -> None:
    judged = how_judged(*indexed, DEFAULT_THRESHOLD)
    tell(judged)
    assert judged.answered > 0.5
    assert judged.silent > 0.6
    assert judged.precision > 0.85


def test_what_is_seen_and_said_is_told(indexed: tuple[VideoLibrary, list[Step]]) -> None:
    library, steps = indexed
    both = find(library, [step.text for step in steps], mode="both", limit=5)
    assert any(moment.why == "both" for row in both for moment in row)
