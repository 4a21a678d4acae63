"""Learning to tell videos of a kind apart: clusters of similar videos make the batches."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.retrieval.planner import Plan, clips_of_plan, is_due, plan_epoch
from mmpt.retrieval.vectors import Embedding
from mmpt.tasks.base import Task
from mmpt.utils.registry import register

CANDIDATES = 2  # for each video of a cluster, where a file does not say how many (VideoCLIP, section 3.3)


@register("task")
class VideoRetriTask(Task):
    """VideoCLIP's pre-training: from epoch `retri_epoch` on, videos that the model finds alike are put together.

    Source: Xu et al., VideoCLIP (EMNLP 2021), section 3.3.
    """

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make a row of each clip of a cluster's videos.

        Args:
            batch: tensors (videos, clips, ...).

        Returns:
            Tensors (videos * clips, ...).
        """
        shape = batch["caps"].shape[:2]
        return {
            name: value.flatten(0, 1) if isinstance(value, torch.Tensor) and value.shape[:2] == shape else value
            for name, value in batch.items()
        }

    def plan(
        self,
        model: MMPTPreTrainedModel,
        dataset: MMDataset,
        *,
        seed: int,
        epoch: int,
        rank: int,
        world: int,
        **embedding: Unpack[Embedding],
    ) -> Plan | None:
        """Embed all videos and draw clusters of neighbours; see `Task.plan`."""
        options, size = self.options, dataset.meta.config.num_video_per_batch
        if not is_due(epoch, options.retri_epoch, options.retri_interval):
            return None
        if size is None:
            raise ValueError("dataset.num_video_per_batch is not set; VideoRetriTask makes clusters of so many videos")
        return plan_epoch(
            model,
            clips_of_plan(dataset, clips=options.retri_clips, aligner=options.retri_aligner_cls),
            seed=seed,
            epoch=epoch,
            num_cands=options.num_cands or CANDIDATES * size,
            num_video_per_batch=size,
            rank=rank,
            world=world,
            vectorpool=options.vectorpool_cls or "VideoVectorPool",
            retriever=options.retriever_cls or "VectorRetriever",
            per_rank=options.per_rank,
            **embedding,
        )


@register("task")
class MILNCETask(Task):
    """A video has several candidate texts, as `How2MILNCEAligner` draws them; with MILNCELoss.

    For models that encode video and text apart, in two passes.
    """

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make a row of each text, and keep one for each video.

        Args:
            batch: `caps` and `cmasks` (B, C, T), and what belongs to videos.

        Returns:
            `caps` and `cmasks` (B * C, T).
        """
        texts = ("caps", "cmasks")
        return {name: value.flatten(0, 1) if name in texts else value for name, value in batch.items()}
