"""Image encoders of transformers as a video backbone: the mean of what they make of a second's frames.

CLIP and SigLIP give the image side of their common space; others, DINOv2 and plain ViT among them, the state of [CLS].
"""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig

from mmpt.utils.content import remembered_hash
from mmpt.utils.places import locate
from mmpt.utils.registry import register
from mmpt.utils.statedict import listed, read_json_object, read_shapes
from mmpt.video.backbones.s3d import check_device

CODE = 1  # raise it whenever the same weights and frames would give other numbers
VIT_FPS = 2  # frames per second; neighbours within a second are much alike
GPU_BATCH = 32  # seconds
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SETTINGS = ("preprocessor_config.json", "processor_config.json")  # one of them says how pixels are prepared
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first that there are
EXAMPLE = "for example --model openai/clip-vit-base-patch32, or a folder that save_pretrained wrote"
MAX_LAYERS, MAX_SIZE = 1024, 1 << 20
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth")
SIZES = ("_size", "_dim", "_channels", "_heads", "_embeddings", "width")
POOLED = ("clip", "siglip")  # model types whose pooled output is trained


@register("backbone", "frame_vit")
class FrameViTBackbone:
    """An image encoder, run on two frames a second.

    Frames have their shorter side scaled to the size that the encoder takes and the centre cut out, whatever its own
    preparation does at the edges; pixels are normalised as its preprocessor_config.json says. Files are looked for, and
    fetched from the hub where need be, when something first asks for them.

    Args:
        model: folder, or hub name, of a model that transformers' AutoModel loads: CLIP, SigLIP, DINOv2, ViT ...
        precision: ``"fp32"``, the default, or ``"bf16"``.
        device: where it runs, for example ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: a precision or device that there is not.
    """

    fps = VIT_FPS

    def __init__(
        self, model: str | os.PathLike[str], *, precision: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.model = os.fspath(model)
        self.precision = precision or "fp32"
        self.device = check_device(device)
        if self.precision not in DTYPES:
            raise ValueError(f"precision is {precision!r}; frame_vit computes in {' or '.join(DTYPES)}")

    @property
    def name(self) -> str:
        """``frame_vit/`` and the model's own name, the last part of its folder or hub name."""
        return f"frame_vit/{Path(self.model).resolve().name if Path(self.model).is_dir() else Path(self.model).name}"

    @property
    def version(self) -> str:
        """A hash of the weights and settings, with this code's number.

        Raises:
            FileNotFoundError: the model is neither in a folder nor in the hub's cache, and cannot be fetched.
        """
        return self._version

    @functools.cached_property
    def _version(self) -> str:
        digest = hashlib.sha256()
        for file in (self._folder / "config.json", self._settings_file, *self._weight_files):
            digest.update(remembered_hash(file).encode())
        return f"{digest.hexdigest()[:16]}-{CODE}"

    @property
    def size(self) -> int:
        """Side of the frames, in pixels.

        Raises:
            FileNotFoundError: as for `version`.
            ValueError: the settings do not say.
        """
        return self._size

    @functools.cached_property
    def _size(self) -> int:
        for key in ("crop_size", "size"):
            sizes = self._settings.get(key)
            for side in ("height", "shortest_edge"):
                found = sizes.get(side) if isinstance(sizes, dict) else sizes
                if isinstance(found, int):
                    return found
        raise ValueError(f"{self._settings_file} says neither crop_size nor size, so the encoder's frames are unknown")

    @property
    def dim(self) -> int:
        """Width of the vectors.

        Raises:
            FileNotFoundError: as for `version`.
            ValueError: the configuration is of no image encoder.
        """
        return self._dim

    @functools.cached_property
    def _dim(self) -> int:
        config = self._config
        vision = getattr(config, "vision_config", config)
        both = hasattr(config, "vision_config") and hasattr(config, "text_config")
        width = getattr(config, "projection_dim", None) if both else None
        width = width or getattr(vision, "hidden_size", None)
        if not isinstance(width, int):
            raise ValueError(
                f"{self.model} is a {config.model_type!r} model; frame_vit takes an image encoder, {EXAMPLE}"
            )
        return width

    @property
    def batch_seconds(self) -> int:
        """Seconds to hand over at once."""
        return 1 if self.device.type == "cpu" else GPU_BATCH

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode seconds.

        Args:
            frames: (seconds, 2, size, size, 3) uint8, RGB.

        Returns:
            (seconds, dim) float32 on the backbone's device.

        Raises:
            FileNotFoundError: at the first call: the model is not there.
            ValueError: frames of another shape or not bytes; or (first call) a model that is no image encoder.
        """
        seconds = torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames
        shape = (self.fps, self.size, self.size, 3)
        if seconds.dtype != torch.uint8 or tuple(seconds.shape[1:]) != shape:
            raise ValueError(
                f"frames are {seconds.dtype} {tuple(seconds.shape)}; this encoder takes uint8 "
                f"(seconds, {', '.join(map(str, shape))})"
            )
        if not len(seconds):
            return torch.empty(0, self.dim, device=self.device)
        # As many at a time on a CPU as one second has, so that no batch changes the last bits of another.
        parts = [self._encode(part.to(self.device)) for part in seconds.split(self.batch_seconds)]
        return torch.cat(parts)

    def _encode(self, seconds: Tensor) -> Tensor:
        mean, scale = self._normalisation
        pixels = (seconds.flatten(0, 1).float() - mean) * scale  # (n * fps, size, size, 3)
        pixels = pixels.permute(0, 3, 1, 2).contiguous().to(DTYPES[self.precision])
        vectors = self._vectors(pixels).float()  # (n * fps, dim)
        return vectors.unflatten(0, (-1, self.fps)).mean(dim=1)

    def _vectors(self, pixels: Tensor) -> Tensor:
        network = self._network
        if hasattr(network, "get_image_features"):
            found = network.get_image_features(pixel_values=pixels)
            return found if isinstance(found, Tensor) else found.pooler_output
        output = network(pixel_values=pixels)
        if self._config.model_type.startswith(POOLED):
            return output.pooler_output
        return output.last_hidden_state[:, 0]

    @functools.cached_property
    def _network(self) -> Any:
        try:
            _check_sizes(self._folder, self._weight_files)
            network, report = AutoModel.from_pretrained(
                self._folder, dtype=DTYPES[self.precision], trust_remote_code=False, output_loading_info=True
            )
        except Exception as error:  # damaged weights raise whatever their bytes lead to
            raise ValueError(f"the image encoder {self.model} cannot be loaded: {_first_line(error)}") from error
        if missing := sorted(
            name for name in report["missing_keys"] if "layers." in name or ".layer." in name
        ):  # made up by transformers
            raise ValueError(f"the weights of {self.model} lack {len(missing)} tensors of layers: {listed(missing)}")
        network = network.eval().to(self.device)
        if hasattr(network, "text_model"):
            network.text_model = None  # of no use here, and of as many bytes
        return network

    @functools.cached_property
    def _normalisation(self) -> tuple[Tensor, Tensor]:
        """What is taken off each byte and what it is then multiplied by, (3,) each."""
        settings = self._settings
        factor = float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0
        mean, deviation = [0.0] * 3, [1.0] * 3
        if settings.get("do_normalize", True):
            mean, deviation = settings.get("image_mean", mean), settings.get("image_std", deviation)
        means, deviations = (
            torch.tensor(values, dtype=torch.float32, device=self.device) for values in (mean, deviation)
        )
        return means / factor, factor / deviations

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        try:
            read = json.loads(self._settings_file.read_text(encoding="utf-8"))
            return read.get("image_processor", read)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{self._settings_file} is no JSON with the encoder's settings: {error}") from error

    @property
    def _settings_file(self) -> Path:
        found = next((self._folder / name for name in SETTINGS if (self._folder / name).is_file()), None)
        if found is None:
            raise FileNotFoundError(
                f"{self._folder} holds no {' or '.join(SETTINGS)}, which says how an encoder's pixels are prepared; "
                "copy it from where the model comes from"
            )
        return found

    @functools.cached_property
    def _config(self) -> PretrainedConfig:
        try:
            return AutoConfig.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:  # values of wrong types raise whatever they lead to
            raise ValueError(f"{self.model} is no model of transformers: {_first_line(error)}") from error

    @property
    def _weight_files(self) -> list[Path]:
        found = next((files for pattern in WEIGHTS if (files := sorted(self._folder.glob(pattern)))), [])
        if not found:
            raise FileNotFoundError(f"{self._folder} holds no weights ({', '.join(WEIGHTS)}); save or fetch it again")
        return found

    @functools.cached_property
    def _folder(self) -> Path:
        for place in (Path(self.model).expanduser(), locate(self.model)):
            if place.is_dir():
                return place
        try:
            folder = Path(snapshot_download(self.model, allow_patterns=["*.json", WEIGHTS[0]], ignore_patterns=["*/*"]))
            if not any(folder.glob(WEIGHTS[0])):
                folder = Path(
                    snapshot_download(self.model, allow_patterns=["*.json", WEIGHTS[1]], ignore_patterns=["*/*"])
                )
            return folder
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise FileNotFoundError(
                f"the image encoder {self.model!r} is no folder, and the hub gives none of that name "
                f"({_first_line(error)}); {EXAMPLE}"
            ) from error


def _check_sizes(folder: Path, weights: Sequence[Path]) -> None:
    """Refuse a config.json with numbers that would take all time or memory, and one that sends for code."""
    file = folder / "config.json"
    safe = all(path.suffix == ".safetensors" for path in weights)
    tensors = sum(len(read_shapes(path)) for path in weights) if safe else MAX_LAYERS
    for key, value in _pairs(read_json_object(file)):
        if key.endswith("attn_implementation") and "/" in str(value):
            raise ValueError(f"{file}: {key} is {value!r:.60}, which would fetch code; take the key out")
        limit = tensors if key in LAYERS else MAX_SIZE if key.endswith(SIZES) else None
        if limit is not None and type(value) in (int, float) and not 0 <= value <= limit:
            about = (
                f"the weights have {tensors:,} tensors" if key in LAYERS else f"{MAX_SIZE:,} is the largest believed"
            )
            raise ValueError(f"{file}: {key} is {value}, and {about}")


def _pairs(values: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, those of inner blocks as well."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield str(key), value
        yield from _pairs(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
