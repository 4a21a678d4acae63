"""`mmpt demo`: the whole way to a report, in the small world that tests share; and that nothing is done twice."""

import base64
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.demo import claim, overrides, standing_in, steps
from mmpt.cli.demo_measures import RETRIEVAL, by_chance, measure, shares
from mmpt.cli.demo_training import spark, train
from mmpt.cli.main import COMMANDS, main
from mmpt.cli.report_charts import ticks
from mmpt.evaluators.retrieval import RetrievalAnswers
from mmpt.training.folder import held
from mmpt.utils.folderlock import only_writer
from mmpt.video.reader import probe
from tests.cli.pages import Page
from tests.toyworld import UPDATES, VIDEOS, ToyWorld


def test_it_measures_looks_and_reports_and_does_nothing_twice(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    """The training is there already, made with the same words: the demo goes on behind it."""
    monkeypatch.setenv("MMPT_HOME", "elsewhere")
    log = toy_world.home / "runs/toy/videoclip/metrics.jsonl"
    learnt, before = log.read_bytes(), Path.cwd()
    words = ["demo", "--home", str(toy_world.home), "--videos", str(VIDEOS), "--updates", str(UPDATES)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"{VIDEOS + VIDEOS // 5 // 2 * 2} were there" in out and "0 done" in out
    assert "retrieval of clips, R@1" in out and "sees only action and colour" in out and "report.html" in out
    assert log.read_bytes() == learnt and Path.cwd() == before and os.environ["MMPT_HOME"] == "elsewhere"

    text = (toy_world.home / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.addresses
    assert all(address.startswith("data:") for address in page.addresses), "a report asks no other file or host"
    assert not re.search(r"(?:@import|url\(|fetch\(|https?://|//[a-z])", text.split("<body>")[0])
    said = " ".join(page.words)
    assert "five-choice questions" in said and "mmpt train projects/toy/videoclip/how2.yaml --from-scratch" in said
    films = [address for address in page.addresses if address.startswith("data:video/mp4;base64,")]
    assert len(films) == 1 + 6 * 3
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(base64.b64decode(films[1].partition(",")[2]))
    told = probe(clip)
    assert told.codec == "h264" and told.duration == pytest.approx(6, abs=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seed", "1"), "holds a demo with seed 0, and 1 is asked for"),
        (("--videos", "9"), "holds a demo with videos 8, and 9 is asked for"),
        (("--updates", "7"), "holds a demo with updates 5, and 7 is asked for"),
    ],
)
def test_a_demo_that_was_told_other_things_is_left_as_it_is(
    words: tuple[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Else its world would grow, and neither the old numbers nor the new ones would go on."""
    with standing_in(tmp_path):
        claim(tmp_path, {"seed": 0, "videos": 8, "updates": 5})
    before = (tmp_path / "demo.json").read_bytes()
    assert main(["demo", "--home", str(tmp_path), "--videos", "8", "--updates", "5", *words]) == 2
    assert told in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["demo.json"] and (tmp_path / "demo.json").read_bytes() == before


def test_a_world_of_before_decides_which_demo_it_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "data/toy").mkdir(parents=True)
    (tmp_path / "data/toy/world.json").write_text('{"seed": 0, "videos": 8}')
    assert main(["demo", "--home", str(tmp_path), "--videos", "12"]) == 2
    assert "holds a demo with videos 8, and 12 is asked for" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--videos", "1"), "1 videos make no world; it takes 2 or more"),
        (("--seed", "-1"), "0 or more"),
        (("--seed", str(2**63)), "--seed is 9223372036854775808; it takes at most"),
        (("--updates", "0"), "--updates is 0; it takes 1 or more"),
    ],
)
def test_numbers_that_a_later_step_would_refuse_are_refused_at_once(
    words: tuple[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["demo", "--home", str(tmp_path / "home"), *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_a_file_is_no_home(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "home").write_text("mine")
    assert main(["demo", "--home", str(tmp_path / "home")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_one_demo_at_a_time_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with only_writer(tmp_path, "a demo"):
        assert main(["demo", "--home", str(tmp_path), "--videos", "2"]) == 2
    assert "another process is writing a demo" in capsys.readouterr().err


def test_one_training_at_a_time_in_a_folder(toy_world: ToyWorld, tmp_path: Path) -> None:
    words = [*overrides(VIDEOS, UPDATES, 0), f"fairseq.checkpoint.save_dir={tmp_path}"]
    with standing_in(toy_world.home), held(tmp_path), pytest.raises(ValueError, match="the checkpoints of a training"):
        train(toy_world.yaml, words)


def test_it_knows_more_than_chance(toy_world: ToyWorld) -> None:
    """What the shared model is good for: other tests build on it."""
    with standing_in(toy_world.home):
        card, _ = measure(RETRIEVAL)
    chance = card.baselines["chance"]["R10"]
    assert chance is not None and card.results["fixed"]["R10"]["low"] > 1.5 * chance


def test_shares_are_those_of_the_first_answer() -> None:
    facts = {
        "a": {"action": "cut", "shape": "ball", "colour": "red"},
        "b": {"action": "cut", "shape": "ring", "colour": "blue"},
        "c": {"action": "stir", "shape": "ring", "colour": "red"},
    }
    texts, videos = np.array([[1.0, 0], [0, 1], [0, 1]]), np.array([[1.0, 0], [0, 1], [0, 1]])  # b and c look the same
    found = shares(RetrievalAnswers(texts, videos, ("a", "b", "c"), np.arange(3)), facts)
    assert found == pytest.approx({"action": (1 + 0.5 + 0.5) / 3, "shape": 1.0, "colour": (1 + 0.5 + 0.5) / 3})
    assert by_chance(facts) == pytest.approx({"action": 5 / 9, "shape": 5 / 9, "colour": 5 / 9})


def test_the_line_of_losses_goes_from_low_to_high() -> None:
    assert spark([4.0, 2.0, 0.5]) == "█▄▁" and spark([1.0, 1.0]) == "▁▁" and spark([]) == ""
    assert spark([float("nan"), 1.0, 2.0]) == "▁█"


@pytest.mark.parametrize(
    ("top", "marks"),
    [(13.6, [0, 5, 10]), (400, [0, 100, 200, 300, 400]), (1, [0, 0.5, 1]), (0.07, None)],
)
def test_an_axis_is_marked_with_round_numbers(top: float, marks: list[float] | None) -> None:
    found = ticks(top).tolist()
    assert 3 <= len(found) <= 6 and found[-1] <= top * 1.001
    assert marks is None or found == pytest.approx(marks)


def test_few_videos_get_small_clusters_and_every_command_is_one_that_there_is() -> None:
    assert overrides(200, None, 3) == ["fairseq.common.seed=3"]
    assert "dataset.num_video_per_batch=12" in overrides(48, 10, 0) and "num_cands=24" in overrides(48, 10, 0)
    assert {words[0] for _, commands in steps(8, 0) for words in commands} <= set(COMMANDS)
