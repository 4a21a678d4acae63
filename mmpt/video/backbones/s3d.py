"""The backbone of the published features: S3D, from files to one vector a second.

Its parts: the network (s3d_model), its layers (s3d_layers), its fast form in PyTorch (s3d_inference) and the one that
OpenVINO runs (s3d_openvino).
"""

import functools
import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mmpt.utils.content import remembered_hash
from mmpt.utils.places import locate
from mmpt.utils.registry import register
from mmpt.utils.statedict import read_json_object, read_tensors, unwrap
from mmpt.video.backbones.s3d_inference import S3DInference
from mmpt.video.backbones.s3d_model import S3D, S3D_FPS, S3D_SIZE, WORDS_FILE, S3DConfig, S3DOutput
from mmpt.video.backbones.s3d_openvino import S3DOpenVINO, compile_s3d

__all__ = ["S3D", "S3DBackbone", "S3DConfig", "S3DOutput", "load_s3d", "read_words"]

GET_WEIGHTS = "mmpt download s3d"
COUNTER = "num_batches_tracked"
CODE = 2  # raise it whenever this package's S3D gives other numbers for the same weights and frames
S3D_DIM = 512  # numbers; of the published weights
S3D_WEIGHTS = "pretrained_models/s3d_howto100m.pth"  # their documented place
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DEFAULT_PRECISION = "fp32"  # the fastest that keeps rankings: python -m benchmarks.precision
RUNTIMES = ("torch", "openvino")
_ANCHORS = frozenset({"conv1.conv1.weight", "fc.weight"})  # every S3D has them
UNITS = ("conv_b0", "conv_b1_a", "conv_b1_b", "conv_b2_a", "conv_b2_b", "conv_b3_b")  # of a block, as its six widths
GPU_BATCH = 32  # seconds; frames of 145 MB


@register("backbone", "s3d")
class S3DBackbone:
    """S3D as a backbone: one vector of 512 numbers for each second of 30 frames of 224 x 224 pixels.

    A folder's config.json may name another rate, size of frames and width of vectors. Weights are read at the first
    call, not before.

    Args:
        weights: s3d_howto100m.pth, a folder that `S3D.save_pretrained` wrote, or a model; by default the published
            file at its documented place.
        precision: ``"fp32"``, the default, or ``"bf16"``: about twice as fast, and not quite the same rankings (see
            docs/benchmarks.md).
        runtime: ``"torch"``, or ``"openvino"`` (a CPU only).
        device: where it runs, for example ``"cpu"``, ``"cuda"`` or ``"mps"``.
        config: the sizes of the network in a .pth file; by default those of the tensors in it, and the published rate,
            size of frames and width of vectors.

    Raises:
        ValueError: a precision, runtime or device that there is not.
    """

    name = "s3d"
    published_dim = S3D_DIM

    def __init__(
        self,
        weights: str | os.PathLike[str] | S3D | None = None,
        *,
        precision: str | None = None,
        runtime: str = "torch",
        device: str | torch.device = "cpu",
        config: S3DConfig | None = None,
    ) -> None:
        self.device = check_device(device)
        self.precision = precision or DEFAULT_PRECISION
        if self.precision not in DTYPES:
            raise ValueError(f"precision is {precision!r}; S3D computes in {' or '.join(DTYPES)}")
        if runtime not in RUNTIMES:
            raise ValueError(f"runtime is {runtime!r}; S3D runs in {' or '.join(RUNTIMES)}")
        if runtime == "openvino" and self.device.type != "cpu":
            raise ValueError(f"the openvino runtime is for a CPU and the device is {self.device}; use runtime 'torch'")
        self.runtime = runtime
        self.weights = locate(S3D_WEIGHTS) if weights is None else weights
        self.config = config

    @property
    def fps(self) -> int:
        """Frames per second that it reads."""
        return self._sizes.fps

    @property
    def size(self) -> int:
        """Side of the square frames that it reads, in pixels."""
        return self._sizes.size

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._sizes.embedding_dim

    @property
    def batch_seconds(self) -> int:
        """Seconds to hand over at once: a CPU gains nothing from more than one."""
        return 1 if self.device.type == "cpu" else GPU_BATCH

    @property
    def version(self) -> str:
        """A hash of the weights, with this code's number and the runtime; and what it reads, if not as published.

        Raises:
            FileNotFoundError: the weights are missing; the message names the command that gets them.
        """
        reads = "" if (self.fps, self.size) == (S3D_FPS, S3D_SIZE) else f"-{self.fps}x{self.size}"
        return f"{self._weights_hash[:16]}-{CODE}-{self.runtime}{reads}"

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode seconds.

        Args:
            frames: (seconds, fps, size, size, 3) uint8, RGB.

        Returns:
            (seconds, dim) float32 on the backbone's device, as S3D gives them.

        Raises:
            FileNotFoundError: at the first call: the weights are missing.
            ValueError: frames of another shape or not bytes; or (first call) weights that do not fit.
        """
        clips = torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames
        embedding = self._network.encode_frames(clips.to(self.device)).video_embedding
        assert embedding is not None
        return embedding

    @functools.cached_property
    def _weights_hash(self) -> str:
        return _hash_weights(self.weights)

    @functools.cached_property
    def _sizes(self) -> S3DConfig:
        if isinstance(self.weights, S3D):
            return cast(S3DConfig, self.weights.config)
        if Path(self.weights).is_dir():
            return _folder_sizes(Path(self.weights))
        return self.config or S3DConfig()

    @functools.cached_property
    def _network(self) -> S3DInference | S3DOpenVINO:
        if self.runtime == "openvino":
            return compile_s3d(
                self._load, version=self.version, precision=self.precision, frames=self.fps, size=self.size
            )
        return S3DInference(self._load(), DTYPES[self.precision]).to(self.device)

    def _load(self) -> S3D:
        return self.weights if isinstance(self.weights, S3D) else load_s3d(self.weights, config=self.config)


def check_device(device: str | torch.device) -> torch.device:
    """Make a device of its name, if this machine has it.

    Args:
        device: for example ``"cpu"``, ``"cuda:1"`` or ``"mps"``.

    Returns:
        The device.

    Raises:
        ValueError: the name is none, or the machine has no such device.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; write cpu, cuda, cuda:0 or mps") from error
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(found.type)
    if there is not None and not there():
        raise ValueError(f"device is {device!r}, and PyTorch finds none on this machine; use device 'cpu'")
    return found


def load_s3d(
    weights: str | os.PathLike[str],
    dictionary: str | os.PathLike[str] | None = None,
    *,
    config: S3DConfig | None = None,
) -> S3D:
    """Load S3D from the published files, or from a folder that `S3D.save_pretrained` wrote.

    Args:
        weights: s3d_howto100m.pth (a state dict, of any float dtype), or the folder.
        dictionary: s3d_dict.npy, unicode words of shape (vocab_size - 1,), for the text tower; a folder holds its own.
        config: the sizes of the network in a .pth file; by default its layers are as wide as the tensors in it, and
            the rest is as published. A folder says its own.

    Returns:
        The model in eval mode, float32.

    Raises:
        FileNotFoundError: a file is missing; the message names the command that gets it.
        ValueError: a file is not what it should be, or tensors are missing, unexpected or wrongly shaped.
    """
    path = Path(weights)
    if not path.exists():
        raise FileNotFoundError(f"no S3D weights at {path}; get them with: {GET_WEIGHTS}")
    model = _load_folder(path) if path.is_dir() else _load_state_file(path, config)
    if dictionary is not None:
        model.set_words(read_words(dictionary))
    return model.eval()


def read_words(dictionary: str | os.PathLike[str]) -> list[str]:
    """Read the text tower's vocabulary.

    Args:
        dictionary: s3d_dict.npy, an array of unicode strings.

    Returns:
        The words; word i has embedding row i + 1.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is no array of strings, or one that only unpickling could read.
    """
    path = Path(dictionary)
    if not path.is_file():
        raise FileNotFoundError(f"no S3D dictionary at {path}; get it with: {GET_WEIGHTS}")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read as an array of words ({error}); unpickling could run code, so it is not tried. "
            f"The published file needs none: get it with: {GET_WEIGHTS}"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "U":
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{path} holds {found}; S3D's dictionary is a row of unicode strings, as in s3d_dict.npy")
    return array.tolist()


def _folder_sizes(folder: Path) -> S3DConfig:
    """Read the sizes that a folder's config.json says, and nothing else of it."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json; give a folder that S3D.save_pretrained wrote, or a .pth")
    values = read_json_object(path)
    if values.get("model_type") != S3DConfig.model_type:
        raise ValueError(f"{path} is of a model of type {values.get('model_type')!r:.60}, not {S3DConfig.model_type!r}")
    known = inspect.signature(S3DConfig).parameters.keys() - {"kwargs"}
    try:
        return S3DConfig(**{key: value for key, value in values.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _load_folder(folder: Path) -> S3D:
    with torch.device("meta"):
        model = S3D(_folder_sizes(folder))
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ValueError(f"the weights in {folder} cannot be read (there is no {weights.name}); write the folder again")
    _fill(model, read_tensors(weights), folder)
    if (words := folder / WORDS_FILE).is_file():
        try:
            model.set_words(json.loads(words.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{words} cannot be used: {error}") from error
    return model


def _load_state_file(path: Path, config: S3DConfig | None) -> S3D:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a malformed pickle raises whatever its bytes lead to
        raise ValueError(
            f"{path} cannot be read as a state dict ({_first_line(error)}); nothing in it was run. "
            f"Get the published weights with: {GET_WEIGHTS}"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (name -> tensor); get the published weights with: {GET_WEIGHTS}")
    state = unwrap(state, _ANCHORS, source=str(path))
    with torch.device("meta"):  # no memory and no time for values that are replaced at once
        model = S3D(config or _sizes_of(state))
    _fill(model, state, path)
    return model


def _fill(model: S3D, state: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors, as float32, into a model on the meta device."""
    wanted = model.state_dict()
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(COUNTER)}  # of no use in inference
    state = {
        **counters,
        **{name: value.float() if value.is_floating_point() else value for name, value in state.items()},
    }
    _check_names(
        path,
        missing=wanted.keys() - state.keys(),
        unexpected=state.keys() - wanted.keys(),
        misshapen=[
            f"{name}: {tuple(state[name].shape)}, not {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in state and state[name].shape != value.shape
        ],
    )
    model.load_state_dict(state, assign=True)


def _sizes_of(state: Mapping[str, Tensor]) -> S3DConfig:
    """Tell the sizes of a network by its tensors; what they do not tell is as published."""

    def width(name: str, published: int, dim: int = 0) -> int:
        tensor = state.get(f"{name}.weight")
        return published if tensor is None or tensor.ndim <= dim else max(1, tensor.shape[dim])

    usual = S3DConfig()
    return S3DConfig(
        vocab_size=width("text_module.word_embd", usual.vocab_size),
        word_dim=width("text_module.word_embd", usual.word_dim, dim=1),
        text_hidden_dim=width("text_module.fc1", usual.text_hidden_dim),
        stem_channels=width("conv1.conv1", usual.stem_channels),
        conv_2c_channels=width("conv_2c.conv1", usual.conv_2c_channels),
        blocks={
            name: [width(f"{name}.{unit}.conv1", each) for unit, each in zip(UNITS, widths, strict=True)]
            for name, widths in usual.blocks.items()
        },
    )


def _check_names(path: Path, *, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]) -> None:
    groups = {"missing": sorted(missing), "not part of S3D": sorted(unexpected), "of another shape": list(misshapen)}
    problems = [f"{len(names)} {kind}: {_some(names)}" for kind, names in groups.items() if names]
    if problems:
        raise ValueError(f"{path} does not fit S3D; tensors " + "; ".join(problems))


def _hash_weights(weights: str | os.PathLike[str] | S3D) -> str:
    """Hash a weight file, every file of a folder that holds weights or sizes, or a model's tensors."""
    digest = hashlib.sha256()
    if isinstance(weights, S3D):
        for name, value in sorted(weights.state_dict().items()):
            if not name.startswith("text_module."):  # the text tower gives no features
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()
    path = Path(weights)
    if not path.exists():
        raise FileNotFoundError(f"no S3D weights at {path}; get them with: {GET_WEIGHTS}")
    if not path.is_dir():
        return remembered_hash(path)
    for file in sorted(path.glob("*.safetensors*")):
        digest.update(remembered_hash(file).encode())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _some(names: list[str], shown: int = 20) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
