"""The clusters of an epoch: embed every video, find neighbours, draw.

A plan is a pure function of seed, epoch and the model's weights, and, but for `per_rank`, not of the number of
processes.
Source: Xu et al., VideoCLIP: Contrastive Pre-training for Zero-shot Video-Text Understanding, section 3 (EMNLP 2021).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

import numpy as np
import torch
from torch import distributed

from mmpt.datasets import MMDataset
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.retrieval.clusters import Drawn, draw_clusters, draw_queries
from mmpt.retrieval.meter import RetriMeter
from mmpt.retrieval.neighbours import Retriever, VectorRetriever
from mmpt.retrieval.together import together
from mmpt.retrieval.vectors import VIDEOS, Embedding, embed_videos
from mmpt.utils.registry import lookup
from mmpt.utils.seeding import generator

logger = logging.getLogger(__name__)
PLAN = 1 << 41  # in the place of an item's index, as the samplers' ORDER: the plan shares no draws with an item


@dataclass(frozen=True)
class Plan:
    """The clusters of an epoch.

    Attributes:
        clusters: indices of the videos of each, the one that it gathers around first; all of one size.
        statistics: what the log tells, as `RetriMeter` names it; and `repeated_videos`, which are listed again and
            take no part.
    """

    clusters: tuple[tuple[int, ...], ...]
    statistics: dict[str, float]

    def __str__(self) -> str:
        told = self.statistics
        return (
            f"{len(self.clusters):,} clusters of {len(self.clusters[0])}: {told['hard_negatives']:.0%} of the "
            f"negatives are neighbours, at a distance of {told['neighbour_distance']:.3g} where two videos are "
            f"{told['random_distance']:.3g} apart; {told['distinct_videos']:,.0f} videos come up "
            f"({told['distinct_share']:.0%}), one of them {told['most_often']:.0f} times"
        )


def is_due(epoch: int, retri_epoch: int | None, retri_interval: int = 1) -> bool:
    """True if an epoch begins with a plan; otherwise it keeps the clusters of the one before.

    Args:
        epoch: from 0 on.
        retri_epoch: the first epoch, counted from 1, that does; None for never.
        retri_interval: epochs from one plan to the next.

    Raises:
        ValueError: a number is below 1.
    """
    for name, value in (("retri_epoch", retri_epoch), ("retri_interval", retri_interval)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more, or null for never")
    since = None if retri_epoch is None else epoch + 1 - retri_epoch
    return since is not None and since >= 0 and since % retri_interval == 0


def clips_of_plan(dataset: MMDataset, *, clips: int | None, aligner: str | None) -> MMDataset:
    """The same videos, with the clips that say where they lie.

    Args:
        dataset: the items of training.
        clips: how many of a video; None for as many as training draws.
        aligner: registered name of what draws them; None for the aligner of training.

    Raises:
        ValueError: the name is not registered.
    """
    config = dataset.aligner.config
    clips = clips or config.clip_per_video or config.subsampling or 1
    draws = type(dataset.aligner)
    if aligner is not None:
        draws = lookup("aligner", aligner, where="retri_aligner_cls", may_import=True)
    return replace(dataset, aligner=draws(replace(config, clip_per_video=clips, subsampling=clips)))


def plan_clusters(
    vectors: torch.Tensor,
    *,
    seed: int,
    epoch: int,
    num_cands: int,
    num_video_per_batch: int,
    world: int = 1,
    per_rank: bool = False,
    retriever: Retriever | None = None,
    device: torch.device | str = "cpu",
) -> Plan:
    """Plan clusters of videos whose vectors are known.

    Args:
        vectors: float32 (N, D), on the CPU.
        seed: of the run.
        epoch: which pass.
        num_cands: a cluster is drawn out of so many videos: the query and the `num_cands` - 1 nearest to it.
        num_video_per_batch: videos of a cluster.
        world: how many processes share the clusters.
        per_rank: as the original, let each process's share of the videos be a pool of its own.
        retriever: finds neighbours; exactly by default.
        device: where it does.

    Returns:
        As many clusters as give each video one place, N // `num_video_per_batch`, where no `per_rank` asks for as many
        from each share.

    Raises:
        ValueError: there are too few videos, or `num_cands` is below `num_video_per_batch`.
    """
    shares = world if per_rank else 1
    _check_sizes(len(vectors), num_cands, num_video_per_batch, world=world, shares=shares)
    retriever = VectorRetriever() if retriever is None else retriever
    count = len(vectors) // shares // num_video_per_batch  # of each share: as many as the smallest gives
    drawn = []
    for share in range(shares):
        rng = generator(seed, epoch, PLAN + share)
        rows = np.arange(share, len(vectors), shares)
        pool = vectors if shares == 1 else vectors[torch.from_numpy(rows)]
        queries = draw_queries(len(rows), num_video_per_batch, rng)[:count]
        near = retriever.search(pool, torch.from_numpy(queries), min(num_cands, len(rows)) - 1, device=device)
        found = draw_clusters(
            queries, near.index.numpy(), near.distance.numpy(), size=num_video_per_batch, videos=len(rows), rng=rng
        )
        drawn.append(Drawn(rows[found.videos], found.distance))
    statistics = RetriMeter(vectors, generator(seed, epoch, PLAN + shares))(drawn)
    clusters = np.concatenate([part.videos for part in drawn])
    return Plan(tuple(map(tuple, clusters.tolist())), statistics)


def plan_epoch(
    model: MMPTPreTrainedModel,
    dataset: MMDataset,
    *,
    seed: int,
    epoch: int,
    num_cands: int,
    num_video_per_batch: int,
    rank: int = 0,
    world: int = 1,
    per_rank: bool = False,
    vectorpool: str = "VideoVectorPool",
    retriever: str = "VectorRetriever",
    **embedding: Unpack[Embedding],
) -> Plan:
    """Plan an epoch with a model as it is now. All processes call it together, and all get the same plan.

    Args:
        model: encodes video and text apart; not wrapped; left as it was.
        dataset: the videos, one an item.
        seed: of the run.
        epoch: which pass.
        num_cands: as for `plan_clusters`.
        num_video_per_batch: videos of a cluster.
        rank: this process's number.
        world: how many processes there are; above 1 their process group is there.
        per_rank: as for `plan_clusters`.
        vectorpool: registered name of what makes a video's vector of those of its clips.
        retriever: registered name of what finds neighbours.
        embedding: passed to `embed_videos`: `precision`, `num_workers` and `on_progress`.

    Returns:
        The plan.

    Raises:
        ValueError: as for `plan_clusters` and `embed_videos`, by whichever process; or an item cannot be read.
    """
    if world > 1 and not distributed.is_initialized():
        raise ValueError(f"there are {world} processes, and no process group; start them with torchrun or mmpt launch")
    videos = _each_once(dataset)
    sizes = {"num_cands": num_cands, "num_video_per_batch": num_video_per_batch}
    _check_sizes(len(videos), **sizes, world=world, shares=world if per_rank else 1)
    pool = lookup("vectorpool", vectorpool, where="vectorpool_cls", may_import=True)()
    finder = lookup("retriever", retriever, where="retriever_cls", may_import=True)()
    own = [videos[start : start + VIDEOS] for start in range(0, len(videos), VIDEOS)][rank::world]
    embed = partial(embed_videos, model, dataset, own, epoch=epoch, pool=pool, **embedding)

    def join(shares: Sequence[torch.Tensor]) -> Plan:
        where = {"world": world, "per_rank": per_rank, "retriever": finder, "device": model.device}
        plan = plan_clusters(_interleaved(shares, len(videos)), seed=seed, epoch=epoch, **sizes, **where)
        logger.info("epoch %d: %s", epoch, plan)
        return _of_items(plan, videos, len(dataset))

    return together(embed, join, rank=rank, world=world)


def _each_once(dataset: MMDataset) -> list[int]:
    """The items whose video does not come up before: a video must not be its own hard negative."""
    first: dict[str, int] = {}
    for index in range(len(dataset)):
        first.setdefault(dataset.meta.video_of(index), index)
    return list(first.values())


def _interleaved(shares: Sequence[torch.Tensor], videos: int) -> torch.Tensor:
    """Put the blocks of all processes back in order: shares float32 (blocks of a process, D) -> (N, D)."""
    vectors = torch.empty(videos, shares[0].shape[1])
    for rank, share in enumerate(shares):
        for number, block in enumerate(share.split(VIDEOS) if len(share) else ()):
            start = (rank + number * len(shares)) * VIDEOS
            vectors[start : start + len(block)] = block
    return vectors


def _of_items(plan: Plan, videos: Sequence[int], items: int) -> Plan:
    clusters = tuple(tuple(videos[row] for row in cluster) for cluster in plan.clusters)
    return Plan(clusters, {**plan.statistics, "repeated_videos": float(items - len(videos))})


def _check_sizes(videos: int, num_cands: int, num_video_per_batch: int, *, world: int, shares: int) -> None:
    if num_video_per_batch < 1:
        raise ValueError(f"dataset.num_video_per_batch is {num_video_per_batch}; it takes 1 or more")
    if num_cands < num_video_per_batch:
        raise ValueError(
            f"num_cands is {num_cands}, and dataset.num_video_per_batch {num_video_per_batch}; a cluster is drawn out "
            "of its candidates, so that num_cands takes at least as much (twice as much in the paper)"
        )
    if videos // shares // num_video_per_batch * shares < world:
        raise ValueError(
            f"{videos:,} videos give no cluster of {num_video_per_batch} for each of {world} processes; set "
            f"dataset.num_video_per_batch to at most {max(videos // world, 1)}, or take more videos"
        )
