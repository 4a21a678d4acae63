"""The tutorial's way in: a YAML file -> model, tokenizer and aligner, from video frames to a score."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from mmpt.config import DatasetConfig, RunConfig, load_config
from mmpt.models.base import MMFusionOutput, MMPTPreTrainedModel
from mmpt.models.build import build_config
from mmpt.models.checkpoints import build_on_meta, load_original
from mmpt.processors.aligner import Aligner
from mmpt.text.tokenizer import check_vocabulary, load_tokenizer, special_ids
from mmpt.utils.places import locate
from mmpt.utils.published import command_for
from mmpt.video.backbones.s3d import S3D, S3D_FPS, S3D_WEIGHTS, load_s3d

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

S3D_WORDS = "pretrained_models/s3d_dict.npy"
BEST = "checkpoint_best.pt"


class MMPTModel(nn.Module):
    """Video frames and text in, score out: S3D, then one of the video-text models.

    It is the original's computation to the last bit that fp32 allows: S3D as trained, its output handed to the model
    as it is, whatever its length. `mmpt.load` runs S3D several times faster and scales its output to unit length, as
    the models were trained; scores of the two differ, and neither is wrong for its own purpose.

    Args:
        model: the video-text model.
        s3d: the video network.
    """

    def __init__(self, model: MMPTPreTrainedModel, s3d: S3D) -> None:
        super().__init__()
        self.video_encoder = s3d
        self.model = model

    @classmethod
    def from_pretrained(
        cls, config: str | Path, checkpoint: str = BEST, *, bert_name: str | None = None
    ) -> tuple["MMPTModel", "PreTrainedTokenizerBase", Aligner]:
        """Load a model from its YAML file and its published weights.

        Args:
            config: the YAML file, for example ``"projects/retri/videoclip/how2.yaml"``.
            checkpoint: the checkpoint's name below the file's `eval.save_path`.
            bert_name: folder or hub name to use in place of the file's.

        Returns:
            The model in evaluation mode, the tokenizer, and the aligner.

        Raises:
            FileNotFoundError: the YAML file, weights or the tokenizer are missing; says which and what gets them.
            ValueError: the YAML file or the weights cannot be used.
        """
        run = load_config(config)
        model, tokenizer, aligner = load_run(run, checkpoint=checkpoint, bert_name=bert_name)
        s3d = load_s3d(find_weights(S3D_WEIGHTS), find_weights(S3D_WORDS))
        return cls(model, s3d).eval(), tokenizer, aligner

    def forward(
        self, video_frames: torch.Tensor, caps: torch.Tensor, cmasks: torch.Tensor, return_score: bool = False
    ) -> dict[str, torch.Tensor] | MMFusionOutput:
        """Score videos against texts, pair by pair.

        Args:
            video_frames: float in 0..1 or uint8, (B, T, FPS, H, W, 3): T seconds of 30 frames.
            caps: int64 (B, places), from `aligner._build_text_seq`.
            cmasks: bool (B, places).
            return_score: give the score instead of the two vectors.

        Returns:
            ``{"score": float (B,)}``, or `pooled_video` and `pooled_text`, float (B, D).

        Raises:
            ValueError: there are no seconds, more than the model takes, or the shapes do not fit.
        """
        self._check(video_frames, caps, cmasks)
        device = next(self.model.parameters()).device
        batch, seconds = video_frames.shape[:2]
        vfeats = self.encode_frames(video_frames.flatten(0, 1).to(device)).unflatten(0, (batch, seconds))
        vmasks = torch.ones(batch, seconds, dtype=torch.bool, device=device)
        output = self.model(caps.to(device), cmasks.to(device), vfeats, vmasks)
        if not return_score:
            return output
        return {"score": (output.pooled_video * output.pooled_text).sum(dim=1)}  # (B, D) . (B, D) -> (B,)

    def _check(self, video_frames: torch.Tensor, caps: torch.Tensor, cmasks: torch.Tensor) -> None:
        limit = self.model.config.max_video_len
        if not isinstance(video_frames, torch.Tensor):
            raise ValueError(
                f"video_frames is a {type(video_frames).__name__}; it takes a tensor: torch.as_tensor(...)"
            )
        shape = tuple(video_frames.shape)
        if len(shape) != 6 or shape[2] != S3D_FPS or shape[-1] != 3 or not 1 <= shape[1] <= limit:
            raise ValueError(
                f"video_frames is {shape}; it takes (batch, seconds, {S3D_FPS}, height, width, 3) with 1 to {limit} "
                "seconds (max_video_len): cut longer videos into windows, as mmpt.load(...) does"
            )
        if video_frames.dtype != torch.uint8 and not video_frames.is_floating_point():
            raise ValueError(f"video_frames is {video_frames.dtype}; it takes uint8 (0 to 255) or floats from 0 to 1")
        if caps.ndim != 2 or caps.shape != cmasks.shape or len(caps) != shape[0]:
            raise ValueError(
                f"caps {tuple(caps.shape)} and cmasks {tuple(cmasks.shape)} do not fit {shape[0]} videos; both take "
                "(batch, places): caps[None] for a single one"
            )

    @torch.no_grad()
    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Run S3D.

        Args:
            frames: float in 0..1 or uint8, (seconds, FPS, H, W, 3).

        Returns:
            float (seconds, 512), as S3D gives it.
        """
        vectors = []
        for second in frames:  # one at a time: a batch of clips gains nothing on a CPU, and takes its memory
            clip = second / 255 if second.dtype == torch.uint8 else second
            clip = clip.to(self.video_encoder.dtype).permute(3, 0, 1, 2)  # (FPS, H, W, 3) -> (3, FPS, H, W)
            output = self.video_encoder(clip[None])
            vectors.append(output.video_embedding)
        return torch.cat(vectors)  # (N, 512)


def load_run(
    run: RunConfig, *, checkpoint: str = BEST, bert_name: str | None = None
) -> tuple[MMPTPreTrainedModel, "PreTrainedTokenizerBase", Aligner]:
    """Load the model, tokenizer and aligner of a YAML file.

    Args:
        run: what the file says.
        checkpoint: the checkpoint's name below `eval.save_path`.
        bert_name: folder or hub name to use in place of the file's.

    Returns:
        The model in evaluation mode, the tokenizer, and the aligner.

    Raises:
        FileNotFoundError: weights or the tokenizer are missing.
        ValueError: the file names no `eval.save_path`, or the weights do not fit.
    """
    if run.save_path is None:
        raise ValueError(f"{run.source} says nothing of eval.save_path, the folder that holds {checkpoint}")
    weights = find_weights(Path(run.save_path) / checkpoint)
    tokenizer = load_tokenizer(bert_name or run.dataset.bert_name)
    model = build_on_meta(build_config(run, bert_name=bert_name, tokenizer=tokenizer))
    load_original(model, weights)
    return model.eval(), tokenizer, make_aligner(model, tokenizer)


def make_aligner(model: MMPTPreTrainedModel, tokenizer: "PreTrainedTokenizerBase") -> Aligner:
    """Make the aligner whose sequences a model takes.

    Args:
        model: the model.
        tokenizer: its tokenizer.

    Returns:
        An aligner with the model's lengths and the tokenizer's special tokens.

    Raises:
        ValueError: the tokenizer has more words than the model, or other ids of [CLS] and [SEP].
    """
    config = model.config
    check_vocabulary(tokenizer, config.bert_config.vocab_size, where=config.name_or_path or type(model).__name__)
    dataset = DatasetConfig(bert_name="", max_len=config.max_len, max_video_len=config.max_video_len)
    special = special_ids(tokenizer)
    for key in ("cls_token_id", "sep_token_id"):
        if special[key] != getattr(config, key):
            raise ValueError(
                f"{key} of the tokenizer is {special[key]}, and the model was made with {getattr(config, key)}: they "
                "do not belong together. Take the vocabulary that the model was trained with: --bert-name FOLDER"
            )
    return Aligner(dataset, special=special)


def find_weights(relative: str | Path) -> Path:
    """Find a weight file at its documented place.

    Args:
        relative: the path as the documentation writes it.

    Returns:
        The path, below $MMPT_HOME or the current folder.

    Raises:
        FileNotFoundError: it is not there; the message names the command that gets it.
    """
    path = locate(relative)
    if path.is_file():
        return path
    command = command_for(relative)
    hint = f"get it with `{command}`" if command else "train it first, or point eval.save_path at where it lies"
    raise FileNotFoundError(f"{path} does not exist; {hint}, or set MMPT_HOME to the folder that {relative} lies in")
