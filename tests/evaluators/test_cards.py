"""Result cards are whole, small, valid and legible."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.cards import Card, headline, in_words, judge, markdown, number, read_card, span, write_card
from mmpt.evaluators.retrieval import RetrievalAnswers, RetrievalMetric


class Unknown(Metric):
    """Has a measure that is no number, and one of the paper's alone."""

    def compute(self, answers: Any, protocol: Protocol = "fixed") -> dict[str, Measure]:
        ratio = Measure.of([(0, 0), (0, 0)], "ratio")
        return {"ratio": ratio, "half": Measure.of([0.25, np.nan])} if protocol == "fixed" else {"old|way": ratio}

    def baselines(self, answers: Any) -> dict[str, dict[str, float]]:
        return {"chance": {"ratio": float("nan"), "old|way": 0.5}}


def made(metric: Metric, answers: Any, **changes: Any) -> Card:
    results, baselines, parts = judge(metric, {"fixed": answers, "paper": answers})
    given: dict[str, Any] = {
        "title": "test.yaml",
        "results": results,
        "baselines": baselines,
        "parts": parts,
        "protocol": {"items": 2, "missing": ["a", "b"], "stride": None},
        "hashes": {"config": "0" * 64},
        "wall_seconds": 1.5,
        "examples": ["é", "\udcff"],
    }
    return Card(**(given | changes))


def pairs(count: int, seed: int = 0) -> RetrievalAnswers:
    texts, videos = np.random.default_rng(seed).normal(size=(2, count, 8)).astype(np.float32)
    return RetrievalAnswers(texts, videos + texts)


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = made(RetrievalMetric(), pairs(2))
    data, page = write_card(card, tmp_path / "new")
    assert read_card(data) == read_card(tmp_path / "new")
    assert asdict(read_card(data)) == asdict(card)
    assert sorted(path.name for path in data.parent.iterdir()) == ["card.json", "card.md"]
    assert page.read_text(encoding="utf-8").startswith("# test.yaml\n")


def test_what_is_no_number_is_valid_json(tmp_path: Path) -> None:
    data, page = write_card(made(Unknown(), None, protocol={"mean": np.float32("nan"), "most": float("inf")}), tmp_path)
    stored = json.loads(data.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert stored["results"]["fixed"]["ratio"]["value"] is stored["results"]["fixed"]["ratio"]["low"] is None
    assert stored["baselines"]["chance"]["ratio"] is stored["protocol"]["mean"] is stored["protocol"]["most"] is None
    assert stored["parts"]["half"] == [0.25, None]
    assert "nan" not in page.read_text().lower()
    assert read_card(data).parts["half"] == [0.25, None]


def test_a_measure_of_one_protocol_has_its_line() -> None:
    lines = markdown(made(Unknown(), None)).splitlines()
    [old] = [line for line in lines if line.startswith("| old")]
    assert old == r"| old\|way |  |  |  | 0.500 |"
    widths = {len(line.replace(r"\|", "").split("|")) for line in lines if line.startswith("|")}
    assert len(widths) == 1  # all lines of the table have its columns


def test_a_page_tells_what_its_numbers_are() -> None:
    page = markdown(made(RetrievalMetric(), pairs(200), protocol={"missing": [f"v{n}" for n in range(50)]}))
    assert "| measure | value | 95 % interval | paper's way | chance |" in page
    assert "| MR (lower is better) |" in page
    assert "- missing: 50 (v0, v1," in page and "v19 and 30 more, all in card.json)" in page
    assert "Computed in 2 s." in page


def test_a_large_card_is_small_fast_and_a_line_a_measure(tmp_path: Path) -> None:
    answers = pairs(10_000)
    _ = answers.places  # the metric's own work
    began = time.process_time()
    names = [f"video{n:07d}" for n in range(10_000)]
    data, _ = write_card(made(RetrievalMetric(), answers, examples=names), tmp_path)
    assert time.process_time() - began < 5  # about 0.5 s
    assert data.stat().st_size < 500_000
    assert len(data.read_text().splitlines()) < 120
    assert len(read_card(data).parts["MR"]) == 10_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a result card of this version"),
        ("[]", "is not a result card of this version"),
        ("{}", "its format is None, and this version reads 'mmpt-card-1'"),
        ('{"format": "mmpt-card-9"}', "its format is 'mmpt-card-9'"),
        ('{"format": "mmpt-card-1", "colour": 1}', "is not a result card of this version"),
    ],
)
def test_what_is_no_card_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_card(tmp_path)


def test_a_card_without_results_is_told(tmp_path: Path) -> None:
    card = made(RetrievalMetric(), pairs(2))
    data, _ = write_card(card, tmp_path)
    data.write_text(json.dumps({**json.loads(data.read_text()), "results": {"fixed": {}}}))
    with pytest.raises(ValueError, match="no results of the protocol 'paper'"):
        read_card(data)


def test_a_card_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no result card .*card\.json; mmpt evaluate writes one"):
        read_card(tmp_path)


def test_a_write_that_fails_leaves_the_old_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = write_card(made(RetrievalMetric(), pairs(2)), tmp_path)
    before = data.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_card(made(RetrievalMetric(), pairs(3)), tmp_path)
    assert data.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "card.md"]


def test_numbers_have_three_digits_or_more() -> None:
    values = [0.12345, -0.5, 1.0, 1.0345, 9.5, 12.25, 1234.5, None, float("nan")]
    assert [number(value) for value in values] == ["0.123", "-0.500", "1.000", "1.03", "9.50", "12.2", "1234.5", "", ""]
    assert span({"low": 0.1, "high": 2.0}) == "0.100\N{EN DASH}2.00"
    assert span({"low": None, "high": 1.0}) == span({}) == ""


def test_words_for_what_a_protocol_holds() -> None:
    assert in_words({"one": 1, "two": ["a"]}) == "one: 1; two: 1 (a)"
    assert [in_words(value) for value in ((), {}, None, 0, "s3d")] == ["none", "none", "none", "0", "s3d"]


def test_the_headline_is_a_mean_where_there_is_one() -> None:
    card = made(RetrievalMetric(), pairs(2))
    assert headline(card) == "R1"
    fixed = dict.fromkeys(("92", "91", "recall"), card.results["fixed"]["R1"])
    assert headline(Card(**{**asdict(card), "results": {"fixed": fixed, "paper": fixed}})) == "recall"
