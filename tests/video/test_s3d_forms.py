"""S3D: its two faster forms held to the trained one, and the backbone that chooses between them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mmpt.utils import registry
from mmpt.video.backbones.s3d import S3D, S3DBackbone, S3DConfig
from mmpt.video.backbones.s3d_inference import S3DInference
from mmpt.video.backbones.s3d_openvino import compile_s3d
from tests.parity.recipes import s3d_video, s3d_weights
from tests.video.small_s3d import (
    as_clips,
    assert_near,
    plain,
    random_frames,
    save_as_published,
    small_config,
    small_s3d,
)

EVEN = st.integers(1, 9).map(lambda half: 2 * half)


@pytest.fixture(scope="module")
def model() -> S3D:
    return small_s3d()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the fast form ----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 3), frames=EVEN, height=EVEN.map(lambda n: 4 * n + 2), width=EVEN.map(lambda n: 3 * n))
def test_the_fast_form_equals_the_plain_one(batch: int, frames: int, height: int, width: int) -> None:
    model = small_s3d()
    bytes_in = random_frames((batch, frames, height, width))
    clips = as_clips(bytes_in)
    expected = plain(model, clips)
    fast = S3DInference(model)
    assert_near(fast(clips), expected, 2e-5)
    assert_near(fast.encode_frames(bytes_in), expected, 2e-5)


def test_the_whole_batch_at_once_gives_the_same(model: S3D, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does: no splitting by clips or frames."""
    frames = random_frames((3, 18, 48, 32))
    fast = S3DInference(model)
    monkeypatch.setattr("mmpt.video.backbones.s3d_inference.SPLIT_ON", ("nowhere",))
    assert_near(fast.encode_frames(frames), plain(model, as_clips(frames)), 1e-5)


def test_views_and_strides_do_not_matter(model: S3D) -> None:
    frames = random_frames((2, 20, 40, 44))
    part = frames[:, 2:18, 4:36, 6:38]
    fast = S3DInference(model)
    assert not part.is_contiguous()
    assert_near(fast.encode_frames(part), plain(model, as_clips(part)), 1e-5)
    assert_near(fast(part.permute(0, 4, 1, 2, 3) / 255), plain(model, as_clips(part)), 1e-5)


def test_the_callers_clips_are_left_alone(model: S3D) -> None:
    frames = random_frames((1, 8, 32, 32))
    clips = as_clips(frames)
    before = frames.clone(), clips.clone()
    S3DInference(model)(clips)
    S3DInference(model).encode_frames(frames)
    assert torch.equal(frames, before[0])
    assert torch.equal(clips, before[1])


def test_half_as_many_bits_stay_close(model: S3D) -> None:
    frames = random_frames((2, 16, 64, 64))
    expected = plain(model, as_clips(frames))["video_embedding"]
    for fast in (S3DInference(model, torch.bfloat16), S3DInference(model).to(torch.bfloat16)):
        for output in (fast(as_clips(frames)), fast.encode_frames(frames)):
            assert output.video_embedding is not None and output.video_embedding.dtype == torch.float32
            assert F.cosine_similarity(output.video_embedding, expected).min() > 0.99


def test_a_later_change_of_the_model_does_not_reach_the_fast_form() -> None:
    model = small_s3d()
    fast = S3DInference(model)
    clips = as_clips(random_frames((1, 8, 32, 32)))
    before = fast(clips).video_embedding
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(fast(clips).video_embedding, before)


def test_frames_must_be_bytes(model: S3D) -> None:
    with pytest.raises(ValueError, match="reads uint8"):
        S3DInference(model).encode_frames(torch.rand(1, 8, 32, 32, 3))


# --- OpenVINO ---------------------------------------------------------------------------------------------------------


def test_openvino_equals_the_plain_form(model: S3D, cache: Path) -> None:
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    frames = random_frames((2, 10, 36, 36))
    network = compile_s3d(lambda: model, version="1", precision="fp32", frames=10, size=36)
    assert_near(network.encode_frames(frames), plain(model, as_clips(frames)), 1e-5)
    with pytest.raises(ValueError, match=r"reads uint8 \(B, 10, 36, 36, 3\)"):
        network.encode_frames(frames[:, :8])


def test_openvino_compiles_once(model: S3D, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    frames = random_frames((1, 8, 32, 32))
    sizes = {"version": "1", "precision": "fp32", "frames": 8, "size": 32}
    loads: list[int] = []

    def load() -> S3D:
        loads.append(1)
        return model

    first = compile_s3d(load, **sizes).encode_frames(frames).video_embedding
    again = compile_s3d(load, **sizes).encode_frames(frames).video_embedding
    assert len(loads) == 1
    assert first is not None and again is not None
    assert torch.equal(first, again)  # also: fp32 as asked for, not the machine's favourite precision
    (kept,) = (cache / "openvino").iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    compile_s3d(load, **sizes)
    assert len(loads) == 2
    assert "is damaged; compiling again" in caplog.text
    compile_s3d(load, **{**sizes, "version": "2"})
    assert len(loads) == 3


def test_openvino_has_two_precisions(model: S3D) -> None:
    with pytest.raises(ValueError, match="'int8'; the OpenVINO runtime computes in fp32 or bf16"):
        compile_s3d(lambda: model, version="1", precision="int8")


# --- at full size: the bars of docs/benchmarks.md ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def published_size() -> S3D:
    with torch.device("meta"):
        model = S3D(S3DConfig())
    arrays = s3d_weights({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, 3)
    model.load_state_dict({n: torch.from_numpy(np.asarray(array)) for n, array in arrays.items()}, assign=True)
    return model.eval()


@pytest.fixture(scope="module")
def second(published_size: S3D) -> tuple[torch.Tensor, torch.Tensor]:
    """One second of frames, and the plain form's vector for it."""
    video = torch.from_numpy(s3d_video(201, 1, 30, 224, 224))
    frames = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()
    return frames, plain(published_size, as_clips(frames))["video_embedding"]


OPENVINO = pytest.param(
    "openvino",
    marks=pytest.mark.skipif(
        "DNNL_MAX_CPU_ISA" in os.environ,
        reason="OpenVINO finds no pooling where this setting of `make test-cpus` hides instructions that it counts on",
    ),
)


@pytest.mark.parametrize("runtime", ["torch", OPENVINO])
def test_one_second_at_full_size(published_size: S3D, second: tuple, runtime: str, cache: Path) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    frames, expected = second
    exact = S3DBackbone(published_size, precision="fp32", runtime=runtime)(frames)
    assert float((exact - expected).abs().max()) <= 2e-5
    rounded = S3DBackbone(published_size, precision="bf16", runtime=runtime)(frames)
    assert float(F.cosine_similarity(rounded, expected)) >= 0.996


# --- the backbone -----------------------------------------------------------------------------------------------------


def test_it_is_registered() -> None:
    assert registry.lookup("backbone", "s3d") is S3DBackbone


def test_what_it_declares_needs_no_weights(tmp_path: Path) -> None:
    backbone = S3DBackbone(tmp_path / "absent.pth")
    assert (backbone.name, backbone.fps, backbone.size, backbone.dim) == ("s3d", 30, 224, 512)
    assert backbone.batch_seconds >= 1
    assert backbone.precision == "fp32"
    with pytest.raises(FileNotFoundError, match="mmpt download s3d"):
        _ = backbone.version
    with pytest.raises(FileNotFoundError, match="mmpt download s3d"):
        backbone(np.zeros((1, 30, 224, 224, 3), np.uint8))


def test_versions_tell_weights_and_runtimes_apart(model: S3D, tmp_path: Path, cache: Path) -> None:
    weights, _ = save_as_published(model, tmp_path)
    (tmp_path / "folder").mkdir()
    model.save_pretrained(tmp_path / "folder")
    version = S3DBackbone(weights).version
    assert S3DBackbone(weights).version == version
    assert S3DBackbone(weights, runtime="openvino").version != version
    assert S3DBackbone(model).version == S3DBackbone(small_s3d()).version
    assert S3DBackbone(model).version != S3DBackbone(small_s3d(1)).version
    before = S3DBackbone(tmp_path / "folder").version
    state = load_file(tmp_path / "folder" / "model.safetensors")
    state["fc.bias"] += 1
    save_file(state, tmp_path / "folder" / "model.safetensors", metadata={"format": "pt"})
    assert S3DBackbone(tmp_path / "folder").version != before
    torch.save({**model.state_dict(), "fc.bias": torch.zeros(20)}, weights)
    assert S3DBackbone(weights).version != version


def test_arrays_tensors_files_and_models_give_the_same(model: S3D, tmp_path: Path, cache: Path) -> None:
    weights, _ = save_as_published(model, tmp_path)
    model.save_pretrained(tmp_path / "folder")
    frames = random_frames((2, 30, 224, 224))
    expected = plain(model, as_clips(frames))["video_embedding"]
    for backbone in (
        S3DBackbone(model, precision="fp32"),
        S3DBackbone(weights, precision="fp32", config=small_config()),
        S3DBackbone(tmp_path / "folder", precision="fp32"),
    ):
        assert backbone.dim == 20
        for given_frames in (frames, frames.numpy()):
            vectors = backbone(given_frames)
            assert vectors.dtype == torch.float32
            assert float((vectors - expected).abs().max()) <= 1e-5 * max(1, float(expected.abs().max()))


def test_settings_that_do_not_exist(model: S3D) -> None:
    with pytest.raises(ValueError, match="'fp16'; S3D computes in fp32 or bf16"):
        S3DBackbone(model, precision="fp16")
    with pytest.raises(ValueError, match="'onnx'; S3D runs in torch or openvino"):
        S3DBackbone(model, runtime="onnx")
    with pytest.raises(ValueError, match="'gpu'; write cpu, cuda"):
        S3DBackbone(model, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="PyTorch finds none on this machine"):
            S3DBackbone(model, device="cuda")
    with pytest.raises(ValueError, match="the openvino runtime is for a CPU"):
        S3DBackbone(model, runtime="openvino", device="meta")
