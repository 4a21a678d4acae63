"""mmpt.load and what it gives: texts, videos of any length, scores, curves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmpt
from mmpt.models.checkpoints import convert
from mmpt.models.scorer import Scorer, best_window
from mmpt.video.features import Features, extract

TEXTS = ["a dog runs", "a woman flips the pancake", "pour water into the pot and wrestle"]


@pytest.fixture(scope="module")
def scorer(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny_home)
        patch.delenv("MMPT_HOME", raising=False)
        patch.setenv("MMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield mmpt.load("videoclip", precision="fp32")


def unit_features(seconds: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(seconds, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_shapes(scorer: Scorer) -> None:
    assert scorer.encode_text(TEXTS).shape == (3, 48)
    assert scorer.encode_text([]).shape == (0, 48)
    video = scorer.encode_video(unit_features(70))
    assert video.windows == [(0, 32), (32, 64), (64, 70)]
    assert video.vectors.shape == (3, 48) and video.tokens.shape == (70, 48)
    assert scorer.score([unit_features(3), unit_features(40)], TEXTS).shape == (2, 3)
    assert scorer.score(unit_features(3), "a dog runs").shape == (1, 1)
    assert scorer.curve(unit_features(40), "a dog runs").shape == (40,)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_and_company_never_change_a_text(scorer: Scorer, data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(("a", "the", "dog", "runs", "water", "pancake", "w7")), min_size=1, max_size=70)
    texts = [" ".join(part) for part in data.draw(st.lists(words, min_size=1, max_size=6))]
    together = scorer.encode_text(texts)
    order = data.draw(st.permutations(range(len(texts))))
    assert torch.allclose(scorer.encode_text([texts[i] for i in order]), together[list(order)], atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        assert torch.allclose(scorer.encode_text([text])[0], vector, atol=1e-5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.integers(1, 90), stride=st.integers(1, 32))
def test_a_window_alone_gives_what_it_gives_in_company(scorer: Scorer, seconds: int, stride: int) -> None:
    features = unit_features(seconds)
    video = scorer.encode_video(features, stride=stride)
    for (start, end), vector in list(zip(video.windows, video.vectors, strict=True))[::3]:
        alone = scorer.encode_video(features[start:end])
        assert torch.allclose(alone.vectors[0], vector, atol=1e-5)
    assert video.tokens.shape == (seconds, 48) and torch.isfinite(video.tokens).all()


def test_a_score_is_the_best_window_and_a_curve_is_seconds_times_text(scorer: Scorer) -> None:
    features, text = unit_features(50), scorer.encode_text(["a dog runs"])[0]
    video = scorer.encode_video(features)
    assert scorer.score(features, "a dog runs").item() == pytest.approx(float((video.vectors @ text).max()), abs=1e-5)
    assert torch.allclose(scorer.curve(features, "a dog runs"), video.tokens @ text, atol=1e-5)


def test_any_iterable_will_do(scorer: Scorer) -> None:
    videos = [unit_features(3), unit_features(40)]
    scores = scorer.score(videos, TEXTS)
    assert torch.equal(scorer.score((video for video in videos), (text for text in TEXTS)), scores)
    assert torch.equal(scorer.score(tuple(videos), np.array(TEXTS)), scores)
    assert scorer.score([], TEXTS).shape == (0, 3)


def test_the_order_of_windows_changes_nothing(scorer: Scorer) -> None:
    features, texts = unit_features(96), scorer.encode_text(TEXTS)
    turned = np.concatenate([features[64:], features[32:64], features[:32]])
    assert torch.allclose(
        best_window(scorer.encode_video(turned), texts), best_window(scorer.encode_video(features), texts), atol=1e-5
    )
    assert torch.allclose(scorer.encode_video(turned).tokens[64:], scorer.encode_video(features).tokens[:32], atol=1e-5)


def test_a_file_gives_what_its_features_give(scorer: Scorer, clip: Path) -> None:
    features = extract(clip, scorer.backbone)
    assert features.array.shape == (3, 512)
    assert np.allclose(np.linalg.norm(features.array, axis=1), 1, atol=1e-5)
    for same in (clip, str(clip), features, features.array):
        assert torch.equal(scorer.score(same, TEXTS), scorer.score(clip, TEXTS))


def test_frames_give_what_the_file_gives(scorer: Scorer, clip: Path) -> None:
    frames = np.concatenate(list(mmpt.read_frames(clip)))
    padded = np.zeros((90, 224, 224, 3), np.uint8)
    padded[: len(frames)] = frames
    score = scorer.score(padded.reshape(3, 30, 224, 224, 3), TEXTS)
    assert torch.allclose(score, scorer.score(clip, TEXTS), atol=1e-5)


def test_a_converted_folder_scores_alike(
    scorer: Scorer, tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_home)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    convert("runs/retri/videoclip/checkpoint_best.pt", tmp_path / "folder", scorer.model.config)
    scorer.tokenizer.save_pretrained(tmp_path / "folder")
    again = mmpt.load(tmp_path / "folder", precision="fp32")
    assert torch.equal(again.encode_text(TEXTS), scorer.encode_text(TEXTS))


def test_vlm_encodes_each_alone(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_home)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    vlm = mmpt.load("vlm")
    assert vlm.model.config.num_iso_layer == 6
    features = unit_features(20)
    caps, cmasks = vlm.aligner._build_text_seq(vlm.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"])
    vfeats, vmasks = vlm.aligner._build_video_seq(features)
    with torch.no_grad():
        both = vlm.model(caps[None], cmasks[None], vfeats[None], vmasks[None])
    score = float((both.pooled_video * both.pooled_text).sum())
    assert vlm.score(features, TEXTS[0]).item() == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (unit_features(4) * 3, "takes features of unit length, and these have lengths from 3.00 to 3.00"),
        (unit_features(4)[:, :100], r"features are \(4, 100\); the model takes \(seconds, 512\)"),
        (unit_features(0), "at least one second"),
        (np.where(np.arange(4)[:, None] == 2, np.nan, unit_features(4)), "features of second 2 are not finite"),
        (Features(unit_features(4), "grid", "1", "fp32", True, ""), "come from 'grid'"),
        (Features(unit_features(4), "s3d", "1", "fp32", False, ""), "l2_normalized=False; the model takes"),
        (Features(unit_features(4) * np.nan, "s3d", "1", "fp32", True, ""), "are not finite"),
        (np.zeros((1, 24, 64, 64, 3), np.uint8), r"the scorer takes uint8 \(seconds, 30, height, width, 3\)"),
        (np.zeros((1, 30, 64, 64, 3), np.float32), "frames are torch.float32"),
        (np.zeros((0, 30, 64, 64, 3), np.uint8), "at least one second"),
        (None, "a video is a NoneType; it takes a path, frames or features"),
    ],
)
def test_features_of_another_kind_are_refused(scorer: Scorer, features, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scorer.encode_video(features)


def test_texts_that_are_none_are_refused(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="sentence 2 of 2 is empty"):
        scorer.encode_text(["a dog", "  "])
    with pytest.raises(ValueError, match="sentence 1 of 1 is a int"):
        scorer.encode_text([1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="takes a list of sentences"):
        scorer.encode_text("a dog")


def test_names_that_are_no_model_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    with pytest.raises(ValueError, match="'videoclop' is no model; it takes 'videoclip' or 'vlm'"):
        mmpt.load("videoclop")
    with pytest.raises(
        FileNotFoundError, match=r"checkpoint_best\.pt does not exist; get it with `mmpt download videoclip`"
    ):
        mmpt.load("videoclip")


def test_s3d_is_asked_for_only_when_a_video_needs_it(
    tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    for name in ("projects", "runs"):
        (tmp_path / name).symlink_to(tiny_home / name)
    (tmp_path / "pretrained_models").mkdir()
    bert = tmp_path / "pretrained_models" / "bert-base-uncased"
    bert.symlink_to(tiny_home / "pretrained_models" / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    scorer = mmpt.load("videoclip")
    assert scorer.score(unit_features(3), TEXTS).shape == (1, 3)
    with pytest.raises(FileNotFoundError, match="mmpt download s3d"):
        scorer.score(clip, TEXTS)
