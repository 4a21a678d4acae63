"""The backbone without weights."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpt.video.backbones.base import Backbone, build_backbone, declared_dim, feature_name, same_backbone
from mmpt.video.backbones.grid import GridBackbone, signs
from mmpt.video.features import extract
from tests.video.backbones import Colours
from tests.video.rendering import lossless, moving, render

OUTSIDE = "tests.video.backbones:Colours"


def frames(seconds: int = 3) -> np.ndarray:
    """Bytes that no library draws: the same for ever."""
    return (
        (np.arange(seconds * 4 * 8 * 8 * 3, dtype=np.uint64) * 2654435761 >> 7).astype(np.uint8).reshape(-1, 4, 8, 8, 3)
    )


def test_the_projection_is_the_documented_one() -> None:
    def splitmix(number: int) -> int:
        z = (20210928 + number * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    table = signs()
    assert table.shape == (1344, 512) and set(np.unique(table)) == {-1, 1}
    for row, column in ((0, 0), (0, 1), (1, 0), (700, 300), (1343, 511)):
        assert table[row, column] == (-1 if splitmix(512 * row + column + 1) >> 63 else 1)
    assert abs(table.mean()) < 0.005


def test_numbers_are_the_same_bits_everywhere() -> None:
    vectors = GridBackbone()(frames())
    assert vectors.shape == (3, 512) and vectors.dtype == torch.float32
    digest = hashlib.sha256(vectors.numpy().astype("<f4").tobytes()).hexdigest()
    assert digest == "84736e15839e1a1e76c86655544adfbbd202c04e4124c1f089ddc1289532df14"


def test_numbers_are_whole_sums() -> None:
    """Against whole numbers: nothing was rounded, so no order of adding gives anything else."""
    seconds = frames(5)
    values = seconds.reshape(5, 4, 192).astype(np.int64) - 128
    inputs = np.concatenate([values.reshape(5, -1), np.diff(values, axis=1).reshape(5, -1)], axis=1)
    expected = inputs @ signs().astype(np.int64) / 1024
    assert np.array_equal(GridBackbone()(seconds).numpy(), expected)
    assert np.array_equal(GridBackbone()(torch.from_numpy(seconds[2:3])).numpy(), expected[2:3])


@pytest.mark.parametrize("wrong", [frames().astype(np.float32), frames()[:, :3], frames()[0]])
def test_other_frames_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"grid takes uint8 \(seconds, 4, 8, 8, 3\)"):
        GridBackbone()(wrong)


def test_a_clip(tmp_path: Path) -> None:
    backbone: Backbone = GridBackbone()
    features = extract(render(tmp_path / "clip.mkv", lossless(moving(60), 25)), backbone)
    assert features.array.shape == (3, 512) and features.backbone == "grid"
    np.testing.assert_allclose(np.linalg.norm(features.array, axis=1), 1, rtol=1e-5)
    likeness = features.array @ features.array.T
    assert likeness[0, 1] < 0.9999  # what moves makes seconds differ


# --- backbones by name ------------------------------------------------------------------------------------------------


def test_backbones_are_made_of_their_names() -> None:
    assert isinstance(build_backbone("grid", precision=None), GridBackbone)
    made = build_backbone(OUTSIDE, version="7")
    assert isinstance(made, Colours) and made.version == "7"


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("grids", {}, "did you mean 'grid'"),
        ("grid", {"device": "cpu", "precision": None}, "takes no device; there is nothing to choose"),
        ("s3d", {"model": "clip", "precision": None}, "takes no model; it takes precision"),
        ("frame_vit", {"model": None}, "needs model, for example --model FOLDER"),
        ("no.such.module:Class", {}, "cannot be imported"),
        ("s3d", {"precision": "fp8"}, "S3D computes in fp32 or bf16"),
    ],
)
def test_what_cannot_be_made(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(name, **options)


def test_what_a_name_says() -> None:
    assert [declared_dim(name) for name in ("s3d", "grid", "frame_vit", "frame_vit/clip", OUTSIDE)] == [
        *(512, 512, None, None, 4)
    ]
    assert [feature_name(name) for name in ("grid", "frame_vit", "frame_vit/clip", OUTSIDE)] == [
        *("grid", "frame_vit", "frame_vit/clip", "colours")
    ]
    assert same_backbone("frame_vit/clip", "frame_vit") and same_backbone("grid", "grid")
    assert not same_backbone("frame_vit", "frame_vit/clip") and not same_backbone("s3d2", "s3d")
