"""The way in for people with videos: sentences and videos of any length in, scores and curves by the second out.

Shapes: N texts, W windows of a video, V seconds of a window, D width.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.checkpoints import load_folder
from mmpt.models.pretrained import load_run, make_aligner
from mmpt.processors.aligner import Aligner
from mmpt.text.tokenizer import load_tokenizer
from mmpt.utils.legible import is_unicode
from mmpt.utils.places import home, locate
from mmpt.video.backbones.base import Backbone, build_backbone, same_backbone
from mmpt.video.backbones.s3d import S3D_WEIGHTS, S3DBackbone, check_device
from mmpt.video.features import Features, Progress, cached, extract, stored
from mmpt.video.windows import cut, merge

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PUBLISHED = {"videoclip": "retri/videoclip/how2.yaml", "vlm": "mtm/vlm/how2.yaml"}
YAML = (".yaml", ".yml")
TEXT_BATCH, WINDOW_BATCH = 64, 16  # rows a forward pass; more gains nothing on a laptop
UNIT_LENGTH = 0.05  # a feature vector's length may be this far from 1, as float16 files are

Video = str | os.PathLike[str] | Features | np.ndarray | torch.Tensor


@dataclass(frozen=True)
class EncodedVideo:
    """A video in the common space.

    Args:
        vectors: float32 (W, D), one for each window.
        windows: the windows' seconds, (start, end) each, end excluded.
        tokens: float32 (seconds, D), one for each started second.
        damage: what could not be read of the file, one sentence each; empty for a whole one.
    """

    vectors: torch.Tensor
    windows: list[tuple[int, int]]
    tokens: torch.Tensor
    damage: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelPlace:
    """Where a model was loaded from, so that it is found from another folder too.

    Args:
        path: absolute, of its folder or YAML file; empty for what this package brings along.
        home: absolute, where relative paths started from.
    """

    path: str
    home: str


class Scorer:
    """Encodes texts and videos, and scores them against each other.

    A score is the dot product of a text and a video, without temperature, as in the papers; of a video longer than the
    model takes at once, it is that of the best window.

    Args:
        model: the video-text model, on its device.
        tokenizer: its tokenizer.
        aligner: its aligner.
        backbone: what turns frames into features.
        name: what messages call the model.
        use_cache: keep features in the user's cache folder.
        place: where the model was loaded from; None for one that was made.
    """

    def __init__(
        self,
        model: MMPTPreTrainedModel,
        tokenizer: "PreTrainedTokenizerBase",
        aligner: Aligner,
        backbone: Backbone,
        *,
        name: str = "",
        use_cache: bool = True,
        place: ModelPlace | None = None,
    ) -> None:
        expected = model.config.features["backbone"]
        if not same_backbone(backbone.name, expected) or backbone.dim != model.config.video_dim:
            raise ValueError(
                f"the model {name} was made for {expected} features of width {model.config.video_dim}; the backbone "
                f"{backbone.name!r} gives width {backbone.dim}"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.aligner = aligner
        self.backbone = backbone
        self.name = name
        self.use_cache = use_cache
        self.place = place

    @property
    def l2_normalized(self) -> bool:
        """Whether the model's features are scaled to unit length, second by second."""
        return bool(self.model.config.features["l2_normalized"])

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def encode_text(self, texts: Iterable[str]) -> torch.Tensor:
        """Encode sentences.

        Args:
            texts: the sentences.

        Returns:
            float32 (N, D), in the order given.

        Raises:
            ValueError: a sentence is empty, or a single string was given in place of a list.
        """
        texts = _sentences(texts)
        if not texts:
            return torch.zeros(0, self.model.config.hidden_size)
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        vectors: list[torch.Tensor] = [torch.empty(0)] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda index: len(ids[index]))  # little padding within a batch
        for start in range(0, len(texts), TEXT_BATCH):
            batch = by_length[start : start + TEXT_BATCH]
            caps, cmasks = _stack(self.aligner._build_text_seq(ids[index]) for index in batch)
            encoded = self.model.get_text_features(caps.to(self.device), cmasks.to(self.device))
            for index, vector in zip(batch, encoded.float().cpu(), strict=True):
                vectors[index] = vector
        return torch.stack(vectors)

    @torch.no_grad()
    def encode_video(
        self, video: Video, *, stride: int | None = None, on_progress: Progress | None = None
    ) -> EncodedVideo:
        """Encode a video of any length, window by window.

        Args:
            video: a file; frames, uint8 (seconds, 30, H, W, 3); or features, float (seconds, 512), or the .npy file
                that holds them.
            stride: seconds from one window's start to the next; by default windows do not overlap.
            on_progress: called with the number of seconds whose features are computed so far.

        Returns:
            The vectors of its windows of up to `max_video_len` seconds, and of its seconds.

        Raises:
            FileNotFoundError: there is no such file, or the backbone's weights are missing.
            ValueError: the file is no readable video, or the features are not of the kind that the model was made for.
        """
        found = self.features(video, on_progress=on_progress)
        features = found.array
        size = self.aligner.max_video_len
        windows = cut(len(features), size, stride)
        vectors, tokens = [], []
        for start in range(0, len(windows), WINDOW_BATCH):
            batch = [features[begin:end] for begin, end in windows[start : start + WINDOW_BATCH]]
            vfeats, vmasks = (part.to(self.device) for part in _stack(map(self.aligner._build_video_seq, batch)))
            vfeats = vfeats.to(self.model.dtype)
            states = self.model.encode_video(vfeats, vmasks)
            vectors.append(states.pooled.float().cpu())
            tokens.append(states.tokens.float().cpu())
        return EncodedVideo(
            vectors=torch.cat(vectors),
            windows=windows,
            tokens=torch.from_numpy(merge(torch.cat(tokens).numpy(), windows, len(features))),
            damage=found.damage,
        )

    def features(self, video: Video, *, on_progress: Progress | None = None) -> Features:
        """Get the features of a video, from the cache where they are.

        Args:
            video: as for `encode_video`.
            on_progress: as for `encode_video`.

        Returns:
            float32 (seconds, 512) and what it depends on; of unit length when the model wants them so.

        Raises:
            FileNotFoundError: as for `encode_video`.
            ValueError: as for `encode_video`.
        """
        if isinstance(video, (str, os.PathLike)) and Path(video).suffix == ".npy":
            video = stored(video)
        if isinstance(video, (str, os.PathLike)):
            get = cached if self.use_cache else extract
            return get(video, self.backbone, l2_normalize=self.l2_normalized, on_progress=on_progress)
        if isinstance(video, Features):
            if video.backbone != self.backbone.name or video.l2_normalized != self.l2_normalized:
                raise ValueError(
                    f"these features come from {video.backbone!r}, l2_normalized={video.l2_normalized}; the model "
                    f"takes those of {self.backbone.name!r}, l2_normalized={self.l2_normalized}"
                )
            return replace(video, array=self._checked(torch.as_tensor(video.array)))
        if not isinstance(video, (np.ndarray, torch.Tensor)):
            raise ValueError(
                f"a video is a {type(video).__name__}; it takes a path, frames or features: see encode_video"
            )
        array = torch.as_tensor(video).detach()
        array = self._encode_frames(array) if array.ndim == 5 else array
        return Features(
            array=self._checked(array),
            backbone=self.backbone.name,
            version="",
            precision="",
            l2_normalized=self.l2_normalized,
            source="",
        )

    def _encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        fps = self.backbone.fps
        if frames.dtype != torch.uint8 or frames.shape[1] != fps or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(
                f"frames are {frames.dtype} {tuple(frames.shape)}; the scorer takes uint8 (seconds, {fps}, height, "
                "width, 3) with at least one second"
            )
        vectors = torch.cat([self.backbone(part) for part in frames.split(self.backbone.batch_seconds)])
        return torch.nn.functional.normalize(vectors, dim=1) if self.l2_normalized else vectors

    def _checked(self, features: torch.Tensor) -> np.ndarray:
        array, width = features.float().cpu().numpy(), self.model.config.video_dim
        if array.ndim != 2 or array.shape[1] != width or not len(array):
            raise ValueError(f"features are {array.shape}; the model takes (seconds, {width}) with at least one second")
        if not np.isfinite(array).all():
            raise ValueError(f"features of second {int(np.argmax(~np.isfinite(array).all(1)))} are not finite numbers")
        lengths = np.linalg.norm(array, axis=1)
        real = lengths[lengths > 0]
        if self.l2_normalized and len(real) and np.abs(real - 1).max() > UNIT_LENGTH:
            raise ValueError(
                f"the model takes features of unit length, and these have lengths from {real.min():.2f} to "
                f"{real.max():.2f}; divide each second by its length, as extraction does by default"
            )
        return array

    def score(self, videos: Video | Iterable[Video], texts: str | Iterable[str]) -> torch.Tensor:
        """Score videos against sentences.

        Args:
            videos: one or more, as for `encode_video`.
            texts: one or more sentences.

        Returns:
            float32 (videos, N).

        Raises:
            FileNotFoundError: as for `encode_video`.
            ValueError: as for `encode_video` and `encode_text`.
        """
        encoded = self.encode_text([texts] if isinstance(texts, str) else texts)
        one = isinstance(videos, (str, os.PathLike, Features, np.ndarray, torch.Tensor))
        several: list[Any] = [videos] if one else list(cast(Iterable[Any], videos))
        if not several:
            return torch.zeros(0, len(encoded))
        return torch.stack([best_window(self.encode_video(video), encoded) for video in several])

    def curve(self, video: Video, text: str) -> torch.Tensor:
        """Say second by second how well a video fits a sentence.

        Args:
            video: as for `encode_video`.
            text: the sentence.

        Returns:
            float32 (seconds,): the dot product of each second's state in the video encoder with the sentence.

        Raises:
            FileNotFoundError: as for `encode_video`.
            ValueError: as for `encode_video` and `encode_text`.
        """
        return curves(self.encode_video(video), self.encode_text([text]))[0]


def load(
    name: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    precision: str | None = None,
    runtime: str = "torch",
    bert_name: str | None = None,
    use_cache: bool = True,
    backbone: Backbone | None = None,
) -> Scorer:
    """Load a model for scoring.

    Args:
        name: ``"videoclip"`` or ``"vlm"`` for the published ones; a YAML file whose `eval.save_path` holds
            ``checkpoint_best.pt``; or a folder that `mmpt convert` or save_pretrained wrote.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: of the video backbone: ``"fp32"``, the default, or ``"bf16"``, which is about twice as fast and moves
            rankings a little (see docs/benchmarks.md).
        runtime: of the video backbone, ``"torch"`` or ``"openvino"``.
        bert_name: folder or hub name of the BERT, in place of the one the model names.
        use_cache: keep features in the user's cache folder.
        backbone: what turns frames into features, for models that take others than S3D's or grid's.

    Returns:
        The scorer.

    Raises:
        FileNotFoundError: weights, the tokenizer or the YAML file are missing; says which and what gets them.
        ValueError: `name` is none of the above, or the weights cannot be used.
    """
    model, tokenizer, aligner = _load_model(name, bert_name)
    layers = model.config.bert_config.num_hidden_layers
    if hasattr(model, "mm_encoder") and not model.config.num_iso_layer:
        model.config.num_iso_layer = layers  # as in every published evaluation: without it nothing is encoded alone
    if backbone is None:
        backbone = _backbone(model.config.features["backbone"], precision, runtime, device)
    model.to(check_device(device))  # pyright: ignore[reportArgumentType] - transformers' own signature is wrong
    place = find_place(name)
    return Scorer(model, tokenizer, aligner, backbone, name=os.fspath(name), use_cache=use_cache, place=place)


def find_place(name: str | os.PathLike[str]) -> ModelPlace:
    """The place where `load` looks for a model.

    Args:
        name: see `load`.

    Returns:
        The place; its path is empty where nothing is there.
    """
    text = os.path.expanduser(name)
    found = None if text in PUBLISHED else Path(text) if Path(text).suffix in YAML else _folder(text)
    path = os.path.abspath(found) if found is not None and found.exists() else ""
    return ModelPlace(path, os.path.abspath(home()))


def best_window(video: EncodedVideo, texts: torch.Tensor) -> torch.Tensor:
    """Score a video against texts.

    Args:
        video: the video.
        texts: float (N, D).

    Returns:
        float (N,): for each text, the best of the video's windows.
    """
    return (video.vectors @ texts.T).amax(dim=0)  # (W, D) x (D, N) -> (N,)


def curves(video: EncodedVideo, texts: torch.Tensor) -> torch.Tensor:
    """Score a video's seconds against texts.

    Args:
        video: the video.
        texts: float (N, D).

    Returns:
        float (N, seconds).
    """
    return texts @ video.tokens.T


def _load_model(
    name: str | os.PathLike[str], bert_name: str | None
) -> tuple[MMPTPreTrainedModel, "PreTrainedTokenizerBase", Aligner]:
    text = os.path.expanduser(name)
    if text in PUBLISHED:
        return load_run(load_config(find_project_file(PUBLISHED[text])), bert_name=bert_name)
    if Path(text).suffix in YAML:
        return load_run(load_config(text), bert_name=bert_name)
    folder = _folder(text)
    if folder is None:
        raise ValueError(
            f"{text!r} is no model; it takes {' or '.join(map(repr, PUBLISHED))}, a YAML file, or a folder that "
            "`mmpt convert` wrote"
        )
    model = load_folder(folder)
    tokenizer = load_tokenizer(bert_name or str(folder))
    return model, tokenizer, make_aligner(model, tokenizer)


def _folder(name: str) -> Path | None:
    return next((place for place in (Path(name), locate(name)) if place.is_dir()), None)


def _backbone(name: str, precision: str | None, runtime: str, device: str | torch.device) -> Backbone:
    """What computes a model's features; a weights folder names it, so only this package's own are made."""
    if name == "s3d":
        return S3DBackbone(locate(S3D_WEIGHTS), precision=precision, runtime=runtime, device=device)
    if name == "grid":
        return build_backbone(name, precision=precision)
    raise ValueError(
        f"the model takes features of {name!r}; hand that backbone in: mmpt.load(..., backbone=...), for example made "
        "by mmpt.video.backbones.base.build_backbone, or score .npy files that `mmpt extract` wrote"
    )


def _stack(parts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = zip(*parts, strict=True)
    return torch.stack(first), torch.stack(second)


def _sentences(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise ValueError(f"encode_text takes a list of sentences, got the string {texts!r}; write [{texts!r}]")
    listed = list(texts)
    for number, text in enumerate(listed, 1):
        if not isinstance(text, str):
            raise ValueError(f"sentence {number} of {len(listed)} is a {type(text).__name__}; every sentence is a str")
        if not text.strip():
            raise ValueError(f"sentence {number} of {len(listed)} is empty; every sentence takes at least one word")
        if not is_unicode(text):
            raise ValueError(f"sentence {number} of {len(listed)}, {text!r}, is not text in UTF-8")
    return listed
