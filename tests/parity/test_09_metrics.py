"""Metrics, and what predictors make of a model's output."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from mmpt.evaluators.actions import ActionAnswers, ActionRecognitionMetric
from mmpt.evaluators.moments import MOMENTS, DiDeMoMetric, MomentAnswers, rank_moments
from mmpt.evaluators.qa import ChoiceAnswers, QAMetric, rate
from mmpt.evaluators.retrieval import RetrievalMetric, ScoredAnswers
from mmpt.evaluators.segmentation import (
    COINActionSegmentationMetric,
    LabelledVideo,
    largest_similarity,
    reject,
)
from mmpt.evaluators.steps import CrossTaskMetric, StepVideo, align, align_with_gap_cost, merge_and_align
from mmpt.video.windows import cut, merge

COVERS = "09_metrics_predictors"
GROUPS = ("crosstask_predictor", "coin_predictor", "coin_zs")  # recorded cases that hold cases


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict:
        cases = json.loads((self.folder / "metrics_predictors.json").read_text())["cases"]
        return cases[self.name] if self.name in cases else cases[self.name.split("/")[0]]["cases"][self.name]

    def tensor(self, name: str) -> np.ndarray:
        return load_file(self.folder / "metrics_predictors.safetensors")[f"{self.name}/{name}"]


def list_cases(folder: Path) -> list[Case]:
    recorded = json.loads((folder / "metrics_predictors.json").read_text())["cases"]
    stored = load_file(folder / "metrics_predictors.safetensors")
    listed = [name for name in recorded if name not in (*GROUPS, "dp")]
    listed += [name for group in GROUPS for name in recorded[group]["cases"]]
    return [
        Case(folder, name)
        for name in (*listed, *sorted(key.removesuffix("/in/C") for key in stored if key.endswith("/in/C")))
    ]


def test_the_recorded_numbers_come_out(case: Case) -> None:
    group = case.name.split("/")[0]
    check = CHECKS.get(group)
    assert check is not None, f"the suite does not know the case {case}"
    check(case)


def _same(measures: dict, recorded: dict) -> None:
    values = {name: measure.value for name, measure in measures.items()}
    assert values == pytest.approx(recorded, abs=1e-6)


def _retrieval(case: Case) -> None:
    answers = ScoredAnswers(case.tensor("in/scores"))
    _same(RetrievalMetric().compute(answers, "paper"), case.recorded["result"])


def _qa(case: Case) -> None:
    recorded = case.recorded
    answers = ChoiceAnswers(np.array(recorded["outputs"]), np.array(recorded["targets"]))
    for protocol in ("paper", "fixed"):
        _same(QAMetric().compute(answers, protocol), recorded["result"])


def _didemo(case: Case) -> None:
    recorded = case.recorded
    answers = MomentAnswers(recorded["outputs"], [target["times"] for target in recorded["targets"]])
    _same(DiDeMoMetric().compute(answers, "paper"), recorded["result"])


def _coin(case: Case) -> None:
    found, true = np.array(case.recorded["outputs"]), np.array(case.recorded["targets"])
    for cuts in ([], [30], [10, 50, 60]):  # however the seconds belong to videos
        parts = zip(np.split(found, cuts), np.split(true, cuts), strict=True)
        videos = [LabelledVideo(str(number), *part) for number, part in enumerate(parts)]
        _same(COINActionSegmentationMetric().compute(videos, "paper"), case.recorded["result"])


def _crosstask(case: Case) -> None:
    videos = []
    for task, listed in case.recorded["data"].items():
        for name, video in listed.items():
            found = np.zeros((video["T"], video["K"]), bool)
            found[video["pred_row_of_step"], np.arange(video["K"])] = True
            true = None
            if video["true"] is not None:
                true = np.zeros_like(found)
                true[tuple(np.array(video["true"]).T)] = True
            videos.append(StepVideo(task, name, found, true))
    _same(CrossTaskMetric().compute(videos, "paper"), case.recorded["result"])


def _actions(case: Case) -> None:
    recorded = case.recorded
    answers = ActionAnswers(case.tensor("in/outputs"), np.array(recorded["targets"]), np.array(recorded["splits"]))
    measures = ActionRecognitionMetric().compute(answers, "paper")
    result = recorded["result"]
    assert measures["acc"].value == pytest.approx(result["acc"], abs=1e-6)
    for name, values in (("acc", "acc_splits"), ("R1", "r1_splits"), ("R5", "r5_splits"), ("R10", "r10_splits")):
        ours = [measures[f"{name}_split{number}"].value for number in (1, 2, 3)]
        assert ours == pytest.approx(result[values], abs=1e-6)


def _dp(case: Case) -> None:
    cost = case.tensor("in/C")
    assert np.array_equal(align(cost, "paper"), case.tensor("out/Y").astype(bool))
    if case.name.endswith("_normal"):
        recorded = case.tensor("out/Y_not_exactly_one_bg0.1").astype(bool)
        assert np.array_equal(align_with_gap_cost(cost, 0.1), recorded)


def _windows(case: Case) -> list[tuple[int, int]]:
    stride = int(case.name.rpartition("_sw")[2]) if "_sw" in case.name else 16
    return cut(case.recorded["video_len"], 32, stride)


def _crosstask_predictor(case: Case) -> None:
    found = merge_and_align(case.tensor("in/logits"), _windows(case), case.recorded["video_len"], "paper")
    assert np.array_equal(found, case.tensor("out/y").astype(bool))


def _coin_predictor(case: Case) -> None:
    merged = merge(case.tensor("in/logits"), _windows(case), case.recorded["video_len"])
    np.testing.assert_allclose(merged, case.tensor("out/merged"), rtol=0, atol=1e-6)
    assert np.array_equal(merged.argmax(axis=1), case.tensor("out/pred"))


def _coin_zs(case: Case) -> None:
    labels = case.tensor("in/label_hidden")
    threshold = largest_similarity(labels)
    assert threshold == pytest.approx(case.recorded["lbd"], rel=1e-6)
    scores = merge(case.tensor("in/video_hidden")[:, 1:33] @ labels.T, _windows(case), case.recorded["video_len"])
    found = reject(scores.argmax(axis=1) + 1, scores.max(axis=1), threshold)
    assert np.array_equal(found, case.tensor("out/pred"))
    assert float((found == 0).mean()) == pytest.approx(case.recorded["fraction_O"])


def _didemo_predictor(case: Case) -> None:
    recorded = case.recorded
    assert [tuple(moment) for moment in recorded["possible_segments_order"]] == list(MOMENTS)
    seconds, real, texts = (
        case.tensor("in/hidden_video")[:, 1:-1],
        case.tensor("in/vmasks"),
        case.tensor("in/pooled_text"),
    )
    ours = [rank_moments(*row, protocol="paper") for row in zip(seconds, real, texts, strict=True)]
    assert ours == [[tuple(moment) for moment in ranking] for ranking in recorded["ranking"]]


def _qa_predictor(case: Case) -> None:
    videos = case.tensor("in/pooled_video")
    sentences = case.tensor("in/pooled_text").reshape(len(videos), 5, -1)
    assert np.array_equal(rate(videos, sentences).argmax(axis=1), case.tensor("out/answers"))


CHECKS = {
    "retrieval": _retrieval,
    "qa": _qa,
    "didemo": _didemo,
    "didemo_perfect": _didemo,
    "coin": _coin,
    "crosstask": _crosstask,
    "actionrec": _actions,
    "dp": _dp,
    "crosstask_predictor": _crosstask_predictor,
    "coin_predictor": _coin_predictor,
    "coin_zs": _coin_zs,
    "didemo_predictor": _didemo_predictor,
    "qa_predictor": _qa_predictor,
}
