"""S3D with narrower layers and smaller frames: the published network in all but sizes, and read by `mmpt extract`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmpt.cli.main import main
from mmpt.utils.featurefile import read_features
from mmpt.video.backbones.s3d import S3D, S3DBackbone, S3DConfig, load_s3d
from mmpt.video.backbones.s3d_inference import S3DInference
from tests.video.rendering import lossless, moving, render
from tests.video.small_s3d import as_clips, assert_near, plain, random_frames

FPS, SIZE = 8, 64
TEXT = {"vocab_size": 4, "word_dim": 6, "text_hidden_dim": 8}
WORDS = ["pour", "the", "water"]


@pytest.fixture(scope="module")
def narrow() -> S3D:
    torch.manual_seed(0)
    return S3D(S3DConfig.narrow(1 / 8, fps=FPS, size=SIZE, **TEXT), WORDS).eval()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "moving.mkv"
    render(path, lossless(moving(2 * FPS), FPS))
    return path


def test_the_width_of_one_is_published() -> None:
    assert S3DConfig.narrow(1).to_dict() == S3DConfig().to_dict()


def test_names_and_output_are_those_of_the_published_network(narrow: S3D) -> None:
    with torch.device("meta"):
        published = S3D(S3DConfig()).state_dict()
    own = narrow.state_dict()
    assert list(own) == list(published)
    assert all(own[name].ndim == tensor.ndim for name, tensor in published.items())
    assert own["conv1.conv1.weight"].shape == (8, 24, 2, 4, 4)
    assert own["mixed_5c.conv_b1_b.conv1.weight"].shape == (48, 24, 1, 3, 3)
    assert own["fc.weight"].shape == (512, 1024 // 8)


def test_the_narrowest_layers_keep_a_channel() -> None:
    config = S3DConfig.narrow(1 / 64)
    assert config.stem_channels == 1 and config.blocks["mixed_3b"] == [1, 2, 2, 1, 1, 1]  # 96 / 64 rounds to 2
    S3D(config)


@pytest.mark.parametrize(
    ("width", "sizes", "said"),
    [
        (0, {}, "width is 0; it takes the part of the published channels"),
        (float("nan"), {}, "width is nan"),
        (1, {"fps": 15}, "fps is 15; .* an even number"),
        (1, {"size": 0}, "size is 0; .* an even number"),
    ],
)
def test_sizes_that_there_are_not(width: float, sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        S3DConfig.narrow(width, **sizes)


def test_the_fast_form_gives_the_same(narrow: S3D) -> None:
    frames = random_frames((3, FPS, SIZE, SIZE))
    assert_near(S3DInference(narrow).encode_frames(frames), plain(narrow, as_clips(frames)), 2e-5)


def test_a_file_says_its_widths_by_its_shapes(narrow: S3D, tmp_path: Path) -> None:
    torch.save(narrow.state_dict(), tmp_path / "narrow.pth")
    loaded = load_s3d(tmp_path / "narrow.pth")
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in narrow.state_dict().items())
    assert loaded.config.blocks == narrow.config.blocks
    backbone = S3DBackbone(tmp_path / "narrow.pth")  # of rate and frames it says nothing
    assert (backbone.fps, backbone.size, backbone.dim) == (30, 224, 512)


def test_a_folder_also_says_what_it_reads(narrow: S3D, tmp_path: Path) -> None:
    narrow.save_pretrained(tmp_path / "narrow")
    backbone = S3DBackbone(tmp_path / "narrow")
    assert (backbone.fps, backbone.size, backbone.dim) == (FPS, SIZE, 512)
    frames = random_frames((2, FPS, SIZE, SIZE))
    expected = plain(narrow, as_clips(frames))["video_embedding"]
    assert torch.allclose(backbone(frames), expected, atol=2e-5)


def test_versions_tell_apart_what_is_read(narrow: S3D) -> None:
    other = S3D(S3DConfig.narrow(1 / 8, **TEXT), WORDS)
    other.load_state_dict(narrow.state_dict())
    assert S3DBackbone(narrow).version == f"{S3DBackbone(other).version}-8x64"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_extract_reads_it(narrow: S3D, video: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "narrow"
    if kind == "file":
        torch.save(narrow.state_dict(), weights)
    else:
        narrow.save_pretrained(weights)
    words = ["extract", video, "-o", tmp_path / "feats", "--weights", weights]
    assert main([str(word) for word in words]) == 0
    found = read_features(tmp_path / "feats" / "moving.npy")
    assert found.array.shape == (2, 512)
    assert found.about["backbone"] == "s3d"
    assert found.about["fps"] == (30 if kind == "file" else FPS)
    assert np.isfinite(found.array).all() and found.array.any()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mixed_4c.conv_b0.bn1.bias": torch.zeros(3)}, r"mixed_4c.conv_b0.bn1.bias: \(3,\), not \(20,\)"),
        ({"fc.weight": torch.zeros(20, 128)}, r"fc.weight: \(20, 128\), not \(512, 128\)"),
        ({"conv_2c.conv1.weight": torch.tensor(0.0)}, r"conv_2c.conv1.weight: \(\), not \(192, 8, 1, 3, 3\)"),
        ({"mixed_4c.conv_b0.conv1.weight": torch.zeros(0)}, r"mixed_4c.conv_b0.conv1.weight: \(0,\), not \(1, "),
    ],
)
def test_a_file_that_does_not_fit_itself(
    narrow: S3D,
    video: Path,
    tmp_path: Path,
    changed: dict[str, torch.Tensor],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({**narrow.state_dict(), **changed}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=said):
        load_s3d(tmp_path / "bad.pth")
    words = ["extract", video, "-o", tmp_path / "feats", "--weights", tmp_path / "bad.pth"]
    assert main([str(word) for word in words]) != 0
    assert "does not fit S3D" in capsys.readouterr().err
    assert not list((tmp_path / "feats").glob("*.npy"))


def test_a_folder_without_sizes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config\.json; give a folder that S3D\.save_pretrained wrote"):
        _ = S3DBackbone(tmp_path).fps
