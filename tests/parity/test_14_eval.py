"""Whole evaluations, through the command line."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from mmpt.cli.main import main
from mmpt.evaluators.captioning import EMPTY
from mmpt.evaluators.cards import read_card
from mmpt.evaluators.predicting import read_rows

COVERS = "14_eval"


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict:
        return json.loads((self.folder / "eval.json").read_text())["runs"][self.name]

    def tensor(self, name: str) -> np.ndarray:
        return load_file(self.folder / "eval.safetensors")[f"{self.name}/out/{name}"]


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "eval.json").read_text())["runs"]]


def test_every_configuration_is_run(golden_dir: Path) -> None:
    cases = list_cases(golden_dir / COVERS)
    ours = {case.recorded["config"].removeprefix("configs/") for case in cases}
    assert ours == {path.name for path in (golden_dir / COVERS / "configs").iterdir()}


@pytest.fixture
def rows(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden_dir: Path) -> list[dict]:
    """Evaluate as a user does, and give what was said of each item."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").symlink_to(case.folder / "data")
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    (tmp_path / "runs" / case.name).mkdir(parents=True)
    source = case.folder / case.recorded["checkpoint"].split()[1]
    shutil.copy(source, tmp_path / "runs" / case.name / "checkpoint_best.pt")
    assert main(["evaluate", str(case.folder / case.recorded["config"]), "protocol=paper"]) == 0
    parts = sorted((tmp_path / "runs" / case.name / "eval" / "predictions").glob("*/part_*.npz"))
    found = [row for part in parts for row in read_rows(part, int(part.stem.rpartition("_")[2])) or ()]
    assert len(found) == case.recorded["n_examples"]
    return found


def test_the_recorded_results_come_out(case: Case, rows: list[dict]) -> None:
    recorded = case.recorded
    card = read_card(Path("runs") / case.name / "eval")
    if recorded["metric_result"] is not None:
        ours = {name: told["value"] for name, told in card.results["paper"].items()}
        assert ours == pytest.approx(recorded["metric_result"], abs=1e-6)
    check = CHECKS.get(case.name.removeprefix("test_").split("_")[0])
    assert check is not None, f"the suite does not know what {case} says"
    check(case, rows)


def _retrieval(case: Case, rows: list[dict]) -> None:
    scores = np.stack([row["text"] for row in rows]) @ np.stack([row["video"] for row in rows]).T
    np.testing.assert_allclose(scores, case.tensor("scores"), rtol=2e-5, atol=2e-5)


def _choices(case: Case, rows: list[dict]) -> None:
    assert [row["chosen"] for row in rows] == case.recorded["outputs"]
    assert [[row["right"]] for row in rows] == case.recorded["targets"]


def _steps(case: Case, rows: list[dict]) -> None:
    ours = {(row["task"], row["id"]): row["paper"] for row in rows}
    recorded = case.recorded["outputs"]
    assert set(ours) == {(task, video) for task in recorded for video in recorded[task]}
    for (task, video), found in ours.items():
        told = recorded[task][video]
        assert found.shape == (told["T"], told["K"])
        assert [np.flatnonzero(column).tolist() for column in found.T] == told["frame_of_step"]


def _labels(case: Case, rows: list[dict]) -> None:
    assert [row["id"] for row in rows] == case.recorded["order_of_videos"]
    assert np.array_equal(np.concatenate([row["true"] for row in rows]), case.tensor("targets"))
    found = [row["found"] if "found" in row else np.where(row["score"] > row["paper"], row["label"], 0) for row in rows]
    assert np.array_equal(np.concatenate(found), case.tensor("pred"))


def _moments(case: Case, rows: list[dict]) -> None:
    assert [row["paper"] for row in rows] == case.recorded["outputs"]


def _captions(case: Case, rows: list[dict]) -> None:
    assert [row["caption"] or EMPTY for row in rows] == case.recorded["outputs"]
    assert [[row["reference"] for row in rows]] == case.recorded["targets"]


CHECKS = {
    "vtt": _retrieval,
    "youcook": _retrieval,
    "vttqa": _choices,
    "crosstask": _steps,
    "coin": _labels,
    "didemo": _moments,
    "youcookcap": _captions,
}
