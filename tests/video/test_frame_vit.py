"""Image encoders as a backbone, on tiny ones with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from mmpt.video.backbones.base import Backbone
from mmpt.video.backbones.frame_vit import FrameViTBackbone
from mmpt.video.features import extract
from tests.video.rendering import lossless, moving, render

SIDE = 32
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**SIZES, "image_size": SIDE, "patch_size": 8}
TEXT = {**SIZES, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
MEAN, DEVIATION = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
SETTINGS = {
    "size": {"shortest_edge": 40},
    "crop_size": {"height": SIDE, "width": SIDE},
    "image_mean": MEAN,
    "image_std": DEVIATION,
    "rescale_factor": 1 / 255,
}
MODELS = {
    "clip": lambda: CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=12)),
    "clip-vision": lambda: CLIPVisionModel(CLIPVisionConfig(**VISION)),
    "siglip": lambda: SiglipModel(SiglipConfig(vision_config=VISION, text_config=TEXT)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**{**VISION, "mlp_ratio": 2})),
    "vit": lambda: ViTModel(ViTConfig(**VISION)),
}
WIDTHS = {"clip": 12, "clip-vision": 16, "siglip": 16, "dinov2": 16, "vit": 16}


ABSURD = [
    ("num_hidden_layers", 1_000_000, "num_hidden_layers is 1000000, and the weights have"),
    ("num_hidden_layers", 3, "lack 16 tensors of layers"),
    ("hidden_size", 10**9, "hidden_size is 1000000000"),
    ("hidden_size", -16, "hidden_size is -16"),
    ("hidden_size", "16", "is no model of transformers|cannot be loaded"),
    ("image_size", None, "is no model of transformers|cannot be loaded"),
    ("_attn_implementation", "evil/kernel", "which would fetch code"),
]


@pytest.mark.parametrize(("key", "value", "message"), ABSURD)
def test_an_absurd_config_json_is_told(folders: Path, tmp_path: Path, key: str, value: Any, message: str) -> None:
    for file in (folders / "vit").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=message):
        FrameViTBackbone(tmp_path)(np.zeros((1, 2, SIDE, SIDE, 3), np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, make in MODELS.items():
            make().save_pretrained(folder / name)
            (folder / name / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))


def frames(seconds: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (seconds, 2, SIDE, SIDE, 3), dtype=np.uint8)


@torch.no_grad()
def expected(folder: Path, name: str, seconds: np.ndarray) -> torch.Tensor:
    """The documented way: normalised pixels in, the image's vector out, mean of a second's two."""
    kinds = {"clip": CLIPModel, "clip-vision": CLIPVisionModel, "siglip": SiglipModel, "dinov2": Dinov2Model}
    model = kinds.get(name, ViTModel).from_pretrained(folder / name).eval()
    pixels = (torch.from_numpy(seconds).flatten(0, 1) / 255 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    pixels = pixels.permute(0, 3, 1, 2)
    if name == "clip":
        vectors = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    elif name == "siglip":
        vectors = model.vision_model(pixel_values=pixels).pooler_output
    else:
        output = model(pixel_values=pixels)
        vectors = output.pooler_output if name == "clip-vision" else output.last_hidden_state[:, 0]
    return vectors.unflatten(0, (-1, 2)).mean(dim=1)


@pytest.mark.parametrize("name", MODELS)
def test_a_second_is_the_mean_of_its_frames(folders: Path, name: str) -> None:
    backbone = FrameViTBackbone(folders / name)
    vectors = backbone(frames())
    assert backbone.dim == WIDTHS[name] and backbone.size == SIDE and vectors.dtype == torch.float32
    assert backbone.name == f"frame_vit/{name}"
    torch.testing.assert_close(vectors, expected(folders, name, frames()), atol=2e-6, rtol=1e-5)


def test_batches_change_nothing(folders: Path) -> None:
    backbone = FrameViTBackbone(folders / "clip")
    whole = backbone(frames(5))
    parts = [backbone(torch.from_numpy(frames(5)[place : place + 1])) for place in range(5)]
    assert torch.equal(whole, torch.cat(parts))
    assert backbone(frames(0)).shape == (0, 12)


def test_a_clip(folders: Path, tmp_path: Path) -> None:
    backbone: Backbone = FrameViTBackbone(folders / "dinov2")
    features = extract(render(tmp_path / "clip.mkv", lossless(moving(60), 25)), backbone)
    assert features.array.shape == (3, 16) and features.backbone == "frame_vit/dinov2"


def test_bf16_is_near(folders: Path) -> None:
    exact, near = (FrameViTBackbone(folders / "clip", precision=precision)(frames()) for precision in ("fp32", "bf16"))
    assert torch.nn.functional.cosine_similarity(exact, near).min() > 0.99 and not torch.equal(exact, near)


def test_the_version_follows_weights_and_settings(folders: Path, tmp_path: Path) -> None:
    def write(weights: float, mean: float) -> str:
        model = ViTModel(ViTConfig(**VISION))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(weights)
        model.save_pretrained(tmp_path / "model")
        settings = {**SETTINGS, "image_mean": [mean] * 3}
        (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(settings))
        return FrameViTBackbone(tmp_path / "model").version

    versions = [write(0.1, 0.5), write(0.2, 0.5), write(0.2, 0.4), write(0.1, 0.5)]
    assert len(set(versions)) == 3 and versions[0] == versions[3]


def test_settings_as_other_models_write_them(folders: Path, tmp_path: Path) -> None:
    ViTModel(ViTConfig(**VISION)).save_pretrained(tmp_path)
    plain = {"size": {"height": SIDE, "width": SIDE}, "do_normalize": False}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": plain}))
    backbone = FrameViTBackbone(tmp_path)
    shift, scale = backbone._normalisation
    assert backbone.size == SIDE and shift.tolist() == [0, 0, 0]
    torch.testing.assert_close(scale, torch.full((3,), 1 / 255))
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"size": SIDE, "do_rescale": False, "image_mean": [1] * 3})
    )
    assert FrameViTBackbone(tmp_path).size == SIDE
    assert FrameViTBackbone(tmp_path)._normalisation[0].tolist() == [1, 1, 1]


def test_what_is_missing_is_named(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ViTModel(ViTConfig(**VISION)).save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no preprocessor_config\.json or processor_config\.json"):
        _ = FrameViTBackbone(tmp_path).size
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ValueError, match="says neither crop_size nor size"):
        _ = FrameViTBackbone(tmp_path).size
    (tmp_path / "preprocessor_config.json").write_text("no JSON")
    with pytest.raises(ValueError, match="is no JSON"):
        _ = FrameViTBackbone(tmp_path).size
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        _ = FrameViTBackbone(tmp_path).version
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="cannot be loaded"):
        FrameViTBackbone(tmp_path)(frames())


def test_what_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr("mmpt.video.backbones.frame_vit.snapshot_download", absent)
    with pytest.raises(FileNotFoundError, match=r"is no folder, and the hub gives none .*--model"):
        _ = FrameViTBackbone("nobody/nothing").version
    with pytest.raises(ValueError, match="frame_vit computes in fp32 or bf16"):
        FrameViTBackbone("any", precision="int8")


@pytest.mark.parametrize("wrong", [frames().astype(np.float32), frames()[:, :1], frames()[:, :, :16]])
def test_other_frames_are_refused(folders: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"takes uint8 \(seconds, 2, 32, 32, 3\)"):
        FrameViTBackbone(folders / "vit")(wrong)
