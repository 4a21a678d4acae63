"""`mmpt compare` on cards as `mmpt evaluate` writes them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.evaluators.base import Measure
from mmpt.evaluators.cards import write_card
from tests.evaluators.test_comparing import card_of


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two evaluations of 500 examples: one model is better in one measure."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    right, other = rng.random(500) < 0.4, rng.random(500)
    ranks = rng.integers(1, 100, 500)
    better = right | (rng.random(500) < 0.2)
    for name, hits in (("one", right), ("two", better)):
        measures = {"foreground_acc": Measure.of(hits), "MR": Measure.of(ranks, "median", higher_is_better=False)}
        measures["some"] = Measure.of(other[:100])
        write_card(card_of(measures), tmp_path / name)
    return "one", "two/card.json"


def test_cards_are_compared_in_eighty_columns(cards: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *cards]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 80
    [planted] = [line.split() for line in lines if line.strip().startswith("foreground_acc")]
    assert planted[-2:] == ["<0.001", "better"] and planted[3].startswith("+0.1")
    [same] = [line.split() for line in lines if line.strip().startswith("MR")]
    assert same[1] == "\N{DOWNWARDS ARROW}" and same[-2:] == ["1.000", "unclear"]
    assert "Not compared example by example" in shown.out  # `some`
    assert shown.err == ""  # nothing else differs


def test_what_else_differs_is_a_warning(cards: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    card = card_of({"foreground_acc": Measure.of([1.0, 0.0])}, protocol={"window": "16 s"}, hashes={})
    write_card(replace(card, title="other"), Path("three"))
    assert main(["compare", "one", "three"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    for remark in (
        "Not alike in all but the model:",
        "498 examples are in the first card only",
        "window: 32 s in the first, 16 s in the second",
        "the files of features differ",
        "measures of the first card only: MR, some",
    ):
        assert remark in told


def test_json_is_whole(cards: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *cards, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["measure"] for entry in told["differences"]] == ["foreground_acc", "MR", "some"]
    assert [entry["verdict"] for entry in told["differences"]] == ["better", "unclear", None]
    assert (told["first"], told["second"], told["remarks"]) == ("one", "two/card.json", [])


def test_cards_of_two_tasks_are_told(cards: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    write_card(card_of({"R1": Measure.of([1.0])}), Path("three"))
    assert main(["compare", "one", "three"]) == 2
    assert "have no measure in common" in capsys.readouterr().err


def test_what_is_no_card_is_told(cards: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "one", "nowhere"]) == 2
    assert "there is no result card nowhere" in capsys.readouterr().err
    Path("two/card.json").write_text("{")
    assert main(["compare", *cards]) == 2
    assert "is not a result card of this version" in capsys.readouterr().err
