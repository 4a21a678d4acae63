"""What `benchmarks.toy_s3d` teaches its narrow S3D, on a few made-up videos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import narrow_s3d
from benchmarks.narrow_s3d import FPS, SIZE, Narrated, calibrate, fresh, pretrain, save
from benchmarks.toy_s3d import table
from mmpt.video.backbones.s3d import S3D, S3DBackbone

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200), "white": (220, 220, 220)}


@pytest.fixture
def videos(monkeypatch: pytest.MonkeyPatch) -> list[Narrated]:
    """Two of each colour, the second one shorter than a clip is; each says its colour twice."""
    monkeypatch.setattr(narrow_s3d, "PAIRS", 8)
    found = []
    for name, colour in COLOURS.items():
        for count in (4 * FPS, FPS):
            frames = np.tile(np.array(colour, np.uint8), (count, SIZE, SIZE, 1))
            found.append(Narrated(frames, [f"pour the {name} one", name], np.array([0.5, 3.0])))
    return found


def features(model: S3D, videos: list[Narrated]) -> torch.Tensor:
    return S3DBackbone(model)(np.stack([video.frames[:FPS] for video in videos]))


def test_it_learns_what_is_said(videos: list[Narrated]) -> None:
    before = torch.random.get_rng_state()
    model = fresh(videos, 0)
    assert model.words == ["blue", "green", "one", "pour", "red", "the", "white"]
    losses = pretrain(model, videos, 0, steps=20)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert pretrain(fresh(videos, 0), videos, 0, steps=2) == losses[:2]  # the first rate is that of any number of steps


def test_calibration_takes_the_videos_statistics(videos: list[Narrated], tmp_path: Path) -> None:
    model = calibrate(fresh(videos, 0), videos, 0)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert not model.training
    assert all(
        norm.running_var is not None and not torch.allclose(norm.running_var, torch.tensor(1.0)) for norm in norms
    )
    save(model, tmp_path / "s3d")
    assert [path.name for path in tmp_path.iterdir()] == ["s3d"]
    read = S3DBackbone(tmp_path / "s3d")
    assert (read.fps, read.size, read.dim) == (FPS, SIZE, 512)
    assert torch.allclose(read(videos[0].frames[:FPS][None]), features(model, videos[:1]), atol=1e-5)


def test_the_table() -> None:
    found = {"grid": [{"R@1": 0.5}, {"R@1": 0.6}], "random": [{"R@1": 0.25}, {"R@1": 0.35}]}
    assert table(found, {"grid": 1000.4, "random": 100}) == [
        ("R@1", "55 % (50, 60)", "30 % (25, 35)"),
        ("extraction, x real time", "1000", "100"),
    ]
