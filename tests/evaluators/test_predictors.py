"""What predictors say is what the plain way says: one item at a time, everything padded."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.cli.main import main
from mmpt.config import load_config
from mmpt.evaluators import predicting
from mmpt.evaluators.base import Measure
from mmpt.evaluators.cards import read_card
from mmpt.evaluators.comparing import compare
from mmpt.evaluators.moments import rank_moments
from mmpt.evaluators.predicting import read_rows
from mmpt.evaluators.retrieval import RetrievalAnswers, RetrievalMetric
from mmpt.evaluators.running import Evaluation, prepare
from mmpt.evaluators.segmentation import COINActionSegmentationMetric
from mmpt.models.heads import LocalisationModel, SegmentationModel
from mmpt.processors.ds import cut_windows
from mmpt.video.windows import merge
from tests.evaluators import worlds

CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
SHARED_TOWER = (
    *("model.model_cls=MMFusionShare", "model.mm_encoder_cls=MMBertForEncoder", "model.text_encoder_cls=null"),
    *("model.video_encoder_cls=null", "model.num_hidden_video_layers=null"),
)
VIDEOCLIP, VLM = "projects/retri/videoclip/test_{}.yaml", "projects/mtm/vlm/test_{}.yaml"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return worlds.make_world(tmp_path)


def _values(measures: dict[str, Measure]) -> dict[str, float]:
    return {name: measure.value for name, measure in measures.items()}


def ready(yaml: str, *overrides: str) -> Evaluation:
    worlds.make_checkpoint(yaml, *overrides)
    return prepare(load_config(yaml, overrides))


def answers(evaluation: Evaluation, batch_size: int = 5) -> list[dict[str, Any]]:
    return predicting.predict(evaluation.model, evaluation.dataset, evaluation.predictor, batch_size=batch_size)


@torch.inference_mode()
def plain_pair(evaluation: Evaluation, item: dict[str, Any], choice: int | None = None) -> tuple[np.ndarray, ...]:
    """One video and one text through the whole model, with all padding."""
    model = evaluation.model
    model.trim_padding = False
    caps, cmasks = (item[key] if choice is None else item[key][choice] for key in ("caps", "cmasks"))
    output = model(caps=caps[None], cmasks=cmasks[None], vfeats=item["vfeats"][None], vmasks=item["vmasks"][None])
    model.trim_padding = True
    return output.pooled_text[0].numpy(), output.pooled_video[0].numpy()


PAIRS = [(VIDEOCLIP, "vtt_zs", ()), (VIDEOCLIP, "vtt_zs", SHARED_TOWER), (VLM, "vtt", ())]


@pytest.mark.parametrize(("folder", "name", "overrides"), PAIRS, ids=["two towers", "one tower", "vlm"])
def test_vectors_of_retrieval(world: Path, folder: str, name: str, overrides: tuple[str, ...]) -> None:
    worlds.make_msrvtt()
    evaluation = ready(folder.format(name), *overrides)
    found = answers(evaluation)
    for index, row in enumerate(found):
        text, video = plain_pair(evaluation, evaluation.dataset[index])
        np.testing.assert_allclose(row["text"], text, **CLOSE)
        np.testing.assert_allclose(row["video"], video, **CLOSE)
    assert [row["sentence"] for row in found][:2] == ["a dog runs w0", "two boys arm wrestle w1"]


@pytest.mark.parametrize(("folder", "name"), [(VIDEOCLIP, "vttqa_zs"), (VLM, "vttqa")])
def test_choices(world: Path, folder: str, name: str) -> None:
    worlds.make_msrvtt()
    worlds.make_qa()
    evaluation = ready(folder.format(name))
    for index, row in enumerate(answers(evaluation)):
        item = evaluation.dataset[index]
        pairs = [plain_pair(evaluation, item, choice) for choice in range(5)]
        scores = [float(text @ video) for text, video in pairs]
        assert row["chosen"] == int(np.argmax(scores)) and row["right"] == index % 5


@torch.inference_mode()
def test_moments(world: Path) -> None:
    worlds.make_didemo()
    evaluation = ready(VIDEOCLIP.format("didemo_zs"))
    model = evaluation.model
    found = answers(evaluation, batch_size=4)
    model.trim_padding = False
    for index, row in enumerate(found):
        item = evaluation.dataset[index]
        video = [item[key][None] for key in ("vfeats", "vmasks", "caps", "cmasks")]
        seconds, text = model.get_video_tokens(*video)[0], model.get_text_features(*video[2:])[0]
        for protocol in ("fixed", "paper"):
            ours = rank_moments(seconds.numpy(), item["vmasks"].numpy(), text.numpy(), protocol)
            assert [tuple(moment) for moment in row[protocol]] == ours


@pytest.mark.parametrize(("folder", "name"), [(VIDEOCLIP, "coin_videoclip"), (VLM, "coin")])
@torch.inference_mode()
def test_labels_of_windows_of_many_videos(world: Path, folder: str, name: str) -> None:
    worlds.make_coin()
    evaluation = ready(folder.format(name))
    model = evaluation.model
    assert isinstance(model, SegmentationModel)
    found = answers(evaluation, batch_size=6)
    model.trim_padding = False
    for index, row in enumerate(found):
        item = evaluation.dataset[index]
        logits = model.window_logits(*(item[key] for key in ("caps", "cmasks", "vfeats", "vmasks"))).numpy()
        windows = cut_windows(evaluation.run.dataset, item["video_len"], row["id"])
        assert np.array_equal(row["found"], merge(logits, windows, item["video_len"]).argmax(axis=1))
        assert np.array_equal(row["true"], item["video_targets"])


@torch.inference_mode()
def test_labels_by_their_texts(world: Path) -> None:
    worlds.make_coin()
    evaluation = ready(VIDEOCLIP.format("coin_zs"))
    model, meta = evaluation.model, evaluation.dataset.meta
    laid_out = meta.meta_text_labels()  # pyright: ignore[reportAttributeAccessIssue] - COIN's
    found = answers(evaluation, batch_size=6)
    model.trim_padding = False
    labels = model.get_text_features(laid_out["caps"], laid_out["cmasks"])
    for index, row in enumerate(found):
        item = evaluation.dataset[index]
        seconds = model.get_video_tokens(*(item[key] for key in ("vfeats", "vmasks", "caps", "cmasks")))
        windows = cut_windows(evaluation.run.dataset, item["video_len"], row["id"])
        scores = merge((seconds @ labels.T).numpy(), windows, item["video_len"])
        np.testing.assert_allclose(row["score"], scores.max(axis=1), **CLOSE)
    similar = (labels @ labels.T).numpy()
    assert found[0]["paper"] == pytest.approx(max(similar[0, 2], similar[~np.eye(4, dtype=bool)].max()))
    assert found[0]["paper"] >= found[0]["deduplicated"]


@pytest.mark.parametrize(("folder", "name"), [(VIDEOCLIP, "crosstask_zs_videoclip"), (VLM, "crosstask_zs")])
@torch.inference_mode()
def test_steps_of_windows_of_many_videos(world: Path, golden_dir: Path, folder: str, name: str) -> None:
    places = {
        "train_csv_path": "videos.csv",
        "val_csv_path": "videos_val.csv",
        "primary_path": "tasks_primary.txt",
        "related_path": "tasks_related.txt",
        "annotation_path": "annotations",
        "test_path": "videos_val.csv",
    }
    data = golden_dir / "14_eval" / "data"
    overrides = [f"dataset.{key}={data / 'crosstask' / place}" for key, place in places.items()]
    evaluation = ready(folder.format(name), *overrides, f"dataset.vfeat_dir={data / 'feat'}", "dataset.n_train=1")
    model = evaluation.model
    assert isinstance(model, LocalisationModel) and len(evaluation.dataset) > 1
    together = answers(evaluation, batch_size=16)
    one_by_one = answers(replace(evaluation), batch_size=1)
    for ours, theirs in zip(together, one_by_one, strict=True):
        assert ours["id"] == theirs["id"] and np.array_equal(ours["true"], theirs["true"])
        assert np.array_equal(ours["fixed"], theirs["fixed"]) and np.array_equal(ours["paper"], theirs["paper"])
    item = evaluation.dataset[0]
    logits = model(*(item[key][None] for key in ("caps", "cmasks", "vfeats", "vmasks"))).logits
    seen = model.second_vectors(item["vfeats"], item["vmasks"])[item["vmasks"]]
    torch.testing.assert_close(logits, seen @ model.step_vectors(item["caps"], item["cmasks"]).T)


def test_a_video_with_several_sentences_is_one_to_find(world: Path) -> None:
    worlds.make_didemo()
    yaml = VIDEOCLIP.format("didemo_retrieval_zs")
    worlds.make_checkpoint(yaml)
    assert main(["evaluate", yaml]) == 0
    card = read_card(Path("runs/retri/videoclip/didemo_retrieval_zs/eval"))
    assert card.baselines["chance"] == {"R1": 1 / 3, "R5": 1.0, "R10": 1.0, "MR": 2.0}
    fixed, paper = (card.results[name] for name in ("fixed", "paper"))
    assert fixed["R5"]["value"] == 1.0 and fixed["MR"]["value"] <= 3
    assert paper["R5"]["value"] < 1.0  # a video stands there three times, once for each of its sentences
    assert card.protocol["candidates"] == "3 videos or clips for 9 texts"
    assert "text-to-video retrieval" in card.protocol["task"]


def test_scores_are_never_there_all_at_once() -> None:
    """Of 6,000 texts and videos 144 MB of scores."""
    texts, videos = np.random.default_rng(0).standard_normal((2, 6000, 4), np.float32)
    tracemalloc.start()
    measures = RetrievalMetric().compute(RetrievalAnswers(texts, videos))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6 and measures["MR"].value == pytest.approx(3000, abs=300)


def test_moment_ranking_is_called_so(world: Path) -> None:
    worlds.make_didemo()
    yaml = VIDEOCLIP.format("didemo_zs")
    worlds.make_checkpoint(yaml)
    assert main(["evaluate", yaml]) == 0
    card = read_card(Path("runs/retri/videoclip/didemo_zs/eval"))
    assert card.protocol["task"].startswith("moment ranking") and "not found" in card.protocol["task"]


def test_the_card_of_labels_by_their_texts(world: Path) -> None:
    worlds.make_coin(count=12)
    yaml = VIDEOCLIP.format("coin_zs")
    worlds.make_checkpoint(yaml)
    assert main(["evaluate", yaml]) == 0
    folder = Path("runs/retri/videoclip/coin_zs/eval")
    card = read_card(folder)
    told = "4 labels have 3 distinct texts; in the fixed protocol those of one text count as one"
    assert card.protocol["labels"] == told
    rows = [row for part in sorted(folder.glob("predictions/*/*.npz")) for row in read_rows(part, 12) or ()]
    share = np.mean(np.concatenate([row["score"] > row["paper"] for row in rows]))
    assert f"{share:.1%} of the seconds are above it and keep a label" in card.protocol["thresholds"]
    assert {"frame_acc", "foreground_acc", "F1@10", "F1@25", "F1@50"} == set(card.results["fixed"])
    assert set(card.results["paper"]) == {"frame_acc"}
    background = card.baselines["all background"]["frame_acc"]
    assert background == pytest.approx(np.mean(np.concatenate([row["true"] for row in rows]) == 0))
    assert "4 labels have 3 distinct texts" in (folder / "card.md").read_text()


def test_labels_of_one_text_are_one_in_the_fixed_way(world: Path) -> None:
    worlds.make_coin()  # labels 1 and 3 say the same
    predictor = ready(VIDEOCLIP.format("coin_zs")).predictor
    score, thresholds = np.array([9, 9, 0, 0], np.float32), {"paper": 1.0, "deduplicated": 1.0}
    row = {"label": np.array([1, 1, 1, 2]), "score": score, "true": np.array([3, 1, 0, 0]), **thresholds}
    (unknown,) = predictor.gather([{"id": "a", **row, "true": np.array([3, 7, 0, 0])}], "fixed")
    assert unknown.true.tolist() == [1, 7, 0, 0]  # of another split's videos
    videos = predictor.gather([{"id": name, **row} for name in "abcd"], "fixed")
    assert _values(COINActionSegmentationMetric().compute(videos)) == dict.fromkeys(
        ("frame_acc", "foreground_acc", "F1@10", "F1@25", "F1@50"), 1.0
    )
    (paper,) = predictor.gather([{"id": "a", **row}], "paper")
    assert paper.found.tolist() == [1, 1, 0, 0] and paper.true.tolist() == [3, 1, 0, 0]


def test_one_video_has_no_other_half(world: Path) -> None:
    worlds.make_coin(count=1)
    evaluation = ready(VIDEOCLIP.format("coin_zs"))
    found = answers(evaluation)
    (video,) = evaluation.predictor.gather(found, "fixed")
    assert np.array_equal(video.found != 0, found[0]["score"] > found[0]["deduplicated"])
    assert "one video has no other half" in evaluation.predictor.notes(found)["thresholds"]


def test_actions_on_three_splits(world: Path) -> None:
    worlds.make_hmdb51()
    yaml = VIDEOCLIP.format("hmdb51_zs")
    evaluation = ready(yaml)
    found = answers(evaluation)
    assert len(found) == 10 and sum(row["splits"][0] == 2 for row in found) == 8
    for index, row in enumerate(found):
        _, video = plain_pair(evaluation, evaluation.dataset[index])
        right = [each for each in range(4) if evaluation.dataset.meta.labels[each] == row["action"]]  # pyright: ignore
        assert [row["right"]] == right
        caps = evaluation.dataset[index]["caps"], evaluation.dataset[index]["cmasks"]
        with torch.inference_mode():
            text = evaluation.model.get_text_features(*(part[None] for part in caps))[0].numpy()
        assert row["scores"][row["right"]] == pytest.approx(float(text @ video), abs=1e-4)
    assert main(["evaluate", yaml]) == 0
    card = read_card(Path("runs/retri/videoclip/hmdb51_zs/eval"))
    fixed = {name: told["value"] for name, told in card.results["fixed"].items()}
    assert fixed["acc"] == fixed["acc_split1"] and fixed["R5_split3"] == 1
    assert fixed["acc_mean"] == pytest.approx(np.mean([fixed[f"acc_split{number}"] for number in (1, 2, 3)]))
    assert card.protocol["splits"] == "1, 2, 3; acc is that of the first"
    assert set(card.parts) == set(fixed) and len(card.examples) == 10
    assert all(found.p == 1 for found in compare(card, card))  # video by video


def test_one_split_and_a_sentence_around_the_name(world: Path) -> None:
    worlds.make_hmdb51()
    yaml = VIDEOCLIP.format("hmdb51_zs")
    worlds.make_checkpoint(yaml)
    assert main(["evaluate", yaml, "dataset.hmdb51_split=2", "dataset.label_template=the woman runs {}"]) == 0
    card = read_card(Path("runs/retri/videoclip/hmdb51_zs/eval"))
    assert set(card.results["fixed"]) == {"acc", "acc_split2", "R1_split2", "R5_split2", "R10_split2"}
    assert card.protocol["actions"] == "4, each as 'the woman runs {}'"
    assert card.protocol["items"] == 6
    assert main(["evaluate", yaml, "dataset.label_template=nothing"]) == 2
