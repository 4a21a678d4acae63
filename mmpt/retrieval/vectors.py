"""One vector for each video: the mean over its clips. Shapes: B videos, K clips of each, D width."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict

import torch

from mmpt.datasets import MMDataset, build_loader
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.by_length import compute_by_length
from mmpt.utils.registry import register

VIDEOS = 64  # at a time, however many processes there are, so that their number changes no digit
NAMED = 3  # videos that a message names

Progress = Callable[[int, int], None]


class VectorPool(ABC):
    """Makes videos' vectors of those of their clips; YAML files name one as `vectorpool_cls`."""

    @abstractmethod
    def __call__(self, pooled_video: torch.Tensor, pooled_text: torch.Tensor, clips: int) -> torch.Tensor:
        """Make vectors.

        Args:
            pooled_video: float (B * K, D), a video's clips behind each other.
            pooled_text: float (B * K, D).
            clips: K.

        Returns:
            float32 (B, D).
        """


@register("vectorpool")
class VideoVectorPool(VectorPool):
    """A video lies where its clips lie on average, half by what is seen and half by what is said."""

    def __call__(self, pooled_video: torch.Tensor, pooled_text: torch.Tensor, clips: int) -> torch.Tensor:
        """Make vectors."""
        both = (pooled_video.float() + pooled_text.float()) / 2
        return both.unflatten(0, (-1, clips)).mean(dim=1)  # (B * K, D) -> (B, K, D) -> (B, D)


class Embedding(TypedDict, total=False):
    """How videos are embedded; see `embed_videos`."""

    precision: torch.dtype | None
    num_workers: int
    on_progress: Progress | None


def embed_videos(
    model: MMPTPreTrainedModel,
    dataset: MMDataset,
    blocks: Sequence[Sequence[int]],
    *,
    epoch: int,
    pool: VectorPool,
    precision: torch.dtype | None = None,
    num_workers: int = 0,
    on_progress: Progress | None = None,
) -> torch.Tensor:
    """Embed videos with a model as it is now: all clips of their items.

    Args:
        model: encodes video and text apart; its parameters, its mode and the random state stay as they are.
        dataset: gives the clips of a video as one item.
        blocks: which videos are computed together.
        epoch: the pass whose clips are drawn.
        pool: makes a video's vector of those of its clips.
        precision: torch.bfloat16 or torch.float16 to compute in; None for the parameters' own.
        num_workers: how many make batches ahead.
        on_progress: called with the number of videos done, and of all.

    Returns:
        float32 (videos of all blocks, D), on the CPU.

    Raises:
        ValueError: a vector is NaN or infinite, or the model mixes video and text.
    """
    if not blocks:
        return torch.empty(0, 0)
    total, done, parts = sum(len(block) for block in blocks), 0, []
    loader = build_loader(dataset, clusters=blocks, shuffle=False, seed=dataset.seed, num_workers=num_workers)
    loader.batch_sampler.set_epoch(epoch)  # pyright: ignore - a ClusterBatchSampler
    with _evaluating(model):
        for block, batch in zip(blocks, loader, strict=True):
            with torch.autocast(model.device.type, dtype=precision, enabled=precision is not None):
                vectors = _embed(model, batch, pool)
            _check_finite(vectors, dataset, block)
            parts.append(vectors)
            done += len(block)
            if on_progress is not None:
                on_progress(done, total)
    return torch.cat(parts)


@torch.inference_mode()
def _embed(model: MMPTPreTrainedModel, batch: Mapping[str, Any], pool: VectorPool) -> torch.Tensor:
    rows = {key: batch[key] for key in ("caps", "cmasks", "vfeats", "vmasks")}
    if rows["caps"].ndim == 2:  # one clip a video
        rows = {key: value.unsqueeze(1) for key, value in rows.items()}
    clips = rows["caps"].shape[1]
    caps, cmasks, vfeats, vmasks = (value.flatten(0, 1) for value in rows.values())  # (B * K, ...)
    pooled_text = compute_by_length(model.get_text_features, cmasks, (caps, cmasks), model.device)
    pooled_video = compute_by_length(
        model.get_video_features, vmasks, (vfeats, vmasks, caps[:, :2], cmasks[:, :2]), model.device
    )
    return pool(pooled_video, pooled_text, clips)


def _check_finite(vectors: torch.Tensor, dataset: MMDataset, block: Sequence[int]) -> None:
    bad = (~vectors.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        names = ", ".join(dataset.meta.video_of(block[row]) for row in bad[:NAMED]) + (", ..." if bad[NAMED:] else "")
        raise ValueError(
            f"the model gives a vector that is NaN or infinite for {len(bad)} of {len(block)} videos ({names}), so "
            "that no neighbours can be found; go back to an earlier checkpoint, or train with a lower lr or in fp32"
        )


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
