"""Models and data sets take the features that they are for, and no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmpt
from mmpt.config import DatasetConfig, RunConfig, load_config
from mmpt.models.build import build_config, build_model
from mmpt.processors.base import VideoProcessor
from mmpt.utils.featurefile import write_features
from mmpt.video.backbones.grid import GridBackbone
from mmpt.video.features import extract, stored
from tests.conftest import ROOT
from tests.homes import TINY, YAMLS, make_bert

OUTSIDE = "tests.video.backbones:Colours"
S3D = {"backbone": "s3d", "l2_normalized": True}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("bert") / "bert", TINY, 100)


@pytest.fixture
def run(bert: Path, tmp_path: Path) -> RunConfig:
    found = load_config(ROOT / YAMLS["videoclip"])
    dataset = replace(found.dataset, bert_name=str(bert), vfeat_dir=str(tmp_path / "feats"))
    return replace(found, dataset=dataset)


def write(path: Path, width: int = 8, **about: object) -> None:
    array = np.zeros((3, width))
    array[:, 0] = 1
    write_features(path, array, about)


def with_backbone(run: RunConfig, backbone: str, **more: object) -> RunConfig:
    return replace(run, dataset=replace(run.dataset, backbone=backbone, **more))  # pyright: ignore


# --- widths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, carried, width", [("s3d", "s3d", 512), ("grid", "grid", 512), (OUTSIDE, "colours", 4)])
def test_the_width_is_the_backbones(run: RunConfig, name: str, carried: str, width: int) -> None:
    config = build_config(with_backbone(run, name, l2_normalize=False))
    assert config.video_dim == width and config.features == {"backbone": carried, "l2_normalized": False}
    assert build_model(config).get_parameter("video_encoder.videomlp.linear1.weight").shape[1] == width


def test_the_width_of_features_on_disk(run: RunConfig, tmp_path: Path) -> None:
    run = with_backbone(run, "frame_vit")
    with pytest.raises(ValueError, match=r"width of 'frame_vit' features is unknown.*set model\.video_dim"):
        build_config(run)
    (tmp_path / "feats").mkdir()
    np.save(tmp_path / "feats" / "a_starts.npy", np.arange(3))  # lies beside shards, and is no features
    write(tmp_path / "feats" / "b.npy", 24, backbone="frame_vit/clip", l2_normalized=True)
    config = build_config(run)
    assert config.video_dim == 24 and config.features["backbone"] == "frame_vit/clip"


def test_a_width_that_is_given_counts(run: RunConfig) -> None:
    assert build_config(replace(run, model=replace(run.model, video_dim=77))).video_dim == 77


def test_a_backbone_that_is_not_there(run: RunConfig) -> None:
    with pytest.raises(ValueError, match=r"backbone 'grids' \(dataset\.backbone in .*\) .* did you mean 'grid'"):
        build_config(with_backbone(run, "grids"))


# --- data sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "about, backbone, l2_normalize",
    [
        ({"backbone": "s3d", "l2_normalized": True}, "s3d", True),
        ({"backbone": "grid", "l2_normalized": False}, "grid", False),
        ({"backbone": "frame_vit/clip", "l2_normalized": True}, "frame_vit", True),
        ({"backbone": "frame_vit/clip", "l2_normalized": True}, "frame_vit/clip", True),
        ({"backbone": "colours", "l2_normalized": True}, OUTSIDE, True),
    ],
)
def test_features_of_the_right_kind(tmp_path: Path, about: dict, backbone: str, l2_normalize: bool) -> None:
    write(tmp_path / "v.npy", **about)
    config = DatasetConfig("bert", vfeat_dir=str(tmp_path), backbone=backbone, l2_normalize=l2_normalize)
    assert VideoProcessor(config)("v").shape == (3, 8)


@pytest.mark.parametrize(
    "about, backbone, l2_normalize",
    [
        ({"backbone": "grid", "l2_normalized": True}, "s3d", True),
        ({"backbone": "s3d", "l2_normalized": False}, "s3d", True),
        ({"backbone": "s3d", "l2_normalized": True}, "s3d", False),
        ({"backbone": "frame_vit/clip", "l2_normalized": True}, "frame_vit/dinov2", True),
    ],
)
def test_features_of_another_kind(tmp_path: Path, about: dict, backbone: str, l2_normalize: bool) -> None:
    write(tmp_path / "v.npy", **about)
    config = DatasetConfig("bert", vfeat_dir=str(tmp_path), backbone=backbone, l2_normalize=l2_normalize)
    with pytest.raises(ValueError, match=rf"v\.npy holds features of '{about['backbone']}', .*dataset\.backbone"):
        VideoProcessor(config)("v")


@pytest.mark.parametrize(
    "other, told",
    [
        ({"backbone": "frame_vit/vitb"}, "of the backbone 'frame_vit/vitb', and .*untold.npy of 'frame_vit/vit'"),
        ({"version": "2"}, "of the version '2', and .*first.npy of '1'"),
    ],
)
def test_features_of_two_networks_do_not_mix(tmp_path: Path, other: dict, told: str) -> None:
    about = {"backbone": "frame_vit/vit", "version": "1", "l2_normalized": True}
    for name, more in (("first", {}), ("second", {}), ("other", other)):
        write(tmp_path / f"{name}.npy", **{**about, **more})
    write(tmp_path / "untold.npy", **{key: value for key, value in about.items() if key != "version"})
    processor = VideoProcessor(DatasetConfig("bert", vfeat_dir=str(tmp_path), backbone="frame_vit"))
    for name in ("untold", "first", "second"):
        processor(name)
    with pytest.raises(ValueError, match=rf"other\.npy holds features {told}"):
        processor("other")


def test_files_that_say_nothing_are_published_ones(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 512), np.float16))
    config = DatasetConfig("bert", vfeat_dir=str(tmp_path))
    assert VideoProcessor(config)("v").shape == (3, 512)
    with pytest.raises(ValueError, match="says nothing of itself, so it counts as a published one"):
        VideoProcessor(replace(config, backbone="grid"))("v")


# --- scores -----------------------------------------------------------------------------------------------------------


def saved(run: RunConfig, folder: Path, bert: Path) -> Path:
    """A model's folder, with a tokenizer as `mmpt convert` leaves it."""
    build_model(build_config(run)).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).write_bytes((bert / name).read_bytes())
    return folder


def test_a_model_of_grid_features_scores_videos_and_feature_files(
    run: RunConfig, bert: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    scorer = mmpt.load(saved(with_backbone(run, "grid"), tmp_path / "model", bert))
    features = extract(clip, GridBackbone())
    about = {"backbone": "grid", "l2_normalized": True, "version": features.version}
    write_features(tmp_path / "bar.npy", features.array, about)
    by_video, by_file = (scorer.score(path, ["a dog runs"]) for path in (clip, tmp_path / "bar.npy"))
    np.testing.assert_allclose(by_video, by_file, atol=5e-3)  # float16 on the disk
    write(tmp_path / "other.npy", 512, **S3D)
    with pytest.raises(ValueError, match="these features come from 's3d'"):
        scorer.score(tmp_path / "other.npy", ["a dog runs"])
    write_features(tmp_path / "raw.npy", features.array, {**about, "l2_normalized": False})
    with pytest.raises(ValueError, match="l2_normalized=False; the model"):
        scorer.score(tmp_path / "raw.npy", ["a dog runs"])


def test_a_model_of_other_features_asks_for_its_backbone(run: RunConfig, bert: Path, tmp_path: Path) -> None:
    folder = saved(with_backbone(run, OUTSIDE), tmp_path / "model", bert)
    with pytest.raises(ValueError, match=r"takes features of 'colours'; hand that backbone in: mmpt\.load"):
        mmpt.load(folder)
    with pytest.raises(ValueError, match=r"made for colours features of width 4; the backbone 'grid'"):
        mmpt.load(folder, backbone=GridBackbone())


def test_stored_features(tmp_path: Path) -> None:
    np.save(tmp_path / "published.npy", np.ones((2, 512), np.float16))
    published = stored(tmp_path / "published.npy")
    assert (published.backbone, published.l2_normalized, published.array.dtype) == ("s3d", True, np.float32)
    write(tmp_path / "own.npy", backbone="grid", l2_normalized=False, version="1", damage=["torn"])
    own = stored(tmp_path / "own.npy")
    assert (own.backbone, own.l2_normalized, own.version, own.damage) == ("grid", False, "1", ("torn",))
