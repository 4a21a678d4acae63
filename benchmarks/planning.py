"""Clusters of an epoch for 10,000 videos: neighbours and draw against one query at a time; and what embedding costs.

The plain form computes the distances from a query to all videos, sorts them all, and draws from the nearest, query by
query. Embedding (bert-base text, 6-layer video, fp32) is compared with training on the same videos, 16 clips each,
forwards and backwards without the optimizer; both run through the data path. The retrieval step of an epoch is what
embedding, neighbours and clusters of all videos take together; the epoch is that and training on all of them. Both are
measured for a few videos, and reckoned up. Run: python -m benchmarks.planning
"""

import argparse
import random
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.paired import Timed, run_paired, show
from benchmarks.retrieval_data import CLIPS, SPECIAL, write_shards
from mmpt.datasets import ItemKey, MMDataset, collate
from mmpt.losses.base import total
from mmpt.losses.contrastive import MMContraLoss
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.processors.how2 import (
    ShardedHow2VideoRetriMetaProcessor,
    ShardedVideoRetriTextProcessor,
    ShardedVideoRetriVideoProcessor,
)
from mmpt.processors.how2_aligners import VariedLenAligner, VideoRetriOverlappedAligner
from mmpt.retrieval import VideoVectorPool, embed_videos, plan_clusters

VIDEOS, WIDTH = 10_000, 768
CANDS, SIZE = 64, 32
FEW = 4  # clips of a video that `mmpt prepare` asks for, where the published files embed all 16
EMBEDDED, STEP = 16, 2  # videos that are embedded, and that one training step takes
SEED = 0
PLAN_HEADER = ("neighbours and clusters", "s", "ratio")
MEMORY_HEADER = ("videos", "their vectors MB", "s", "peak beyond them MB")
EMBED_HEADER = ("embedding, against training on 16 clips", "ms a video", "of training")
SHARE_HEADER = ("retrieval step of an epoch", "embedding s", "neighbours, clusters s", "training s", "of the epoch")


def run_plans(videos: int, turns: int) -> list[Timed]:
    """Measure neighbours and draw.

    Args:
        videos: how many.
        turns: counted turns.

    Returns:
        The plain form and ours.
    """
    rows = points(videos)
    timed = run_paired({"plain form": lambda: plain_plan(rows.numpy()), "ours": lambda: plan(rows)}, turns=turns)
    assert len({len(form.result) for form in timed}) == 1, "the forms make as many clusters"
    return timed


def run_memory(sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Measure what a plan takes beside the vectors; in order of size, for a process tells only its highest peak.

    Args:
        sizes: numbers of videos.

    Returns:
        Rows: videos, megabytes of vectors, seconds, megabytes beyond.
    """
    told = []
    for videos in sorted(sizes):
        rows = points(videos)
        before = peak()
        (timed,) = run_paired({"ours": lambda rows=rows: plan(rows)}, turns=1, warmup=0)
        told.append((f"{videos:,}", f"{rows.nbytes / 1e6:,.0f}", f"{timed.seconds:.1f}", f"{peak() - before:,.0f}"))
        del rows
    return told


def run_embedding(folder: Path, turns: int) -> list[Timed]:
    """Measure embedding against training.

    Args:
        folder: where shards are written.
        turns: counted turns.

    Returns:
        Training, and embedding few clips and all, of `EMBEDDED` videos.
    """
    config = write_shards(folder, EMBEDDED)
    dataset = MMDataset(
        ShardedHow2VideoRetriMetaProcessor(config),
        ShardedVideoRetriVideoProcessor(config),
        ShardedVideoRetriTextProcessor(config),
        VideoRetriOverlappedAligner(config, special=SPECIAL),
        seed=SEED,
    )
    torch.manual_seed(SEED)
    model = build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).train()

    def embed(clips: int) -> torch.Tensor:
        drawn = VariedLenAligner(replace(config, subsampling=clips), special=SPECIAL)
        return embed_videos(model, replace(dataset, aligner=drawn), [range(EMBEDDED)], epoch=0, pool=VideoVectorPool())

    forms: dict[str, Any] = {"training": lambda: [train(model, dataset, first) for first in range(0, EMBEDDED, STEP)]}
    forms |= {f"embedding {clips} clips": lambda clips=clips: embed(clips) for clips in (FEW, CLIPS)}
    return run_paired(forms, turns=turns)


def share(videos: int, clips: int, plan: Timed, training: Timed, embedding: Timed) -> tuple[str, ...]:
    """Reckon what the retrieval step is of an epoch.

    Args:
        videos: of the epoch.
        clips: of each that are embedded.
        plan: of all of them.
        training: on `EMBEDDED` of them.
        embedding: of as many.

    Returns:
        A row: seconds, and the share.
    """
    times = videos / EMBEDDED
    whole = times * training.seconds
    part = times * embedding.seconds + plan.seconds
    told = (f"{times * embedding.seconds:,.0f}", f"{plan.seconds:.2f}", f"{whole:,.0f}", f"{part / (part + whole):.1%}")
    return (f"{videos:,} videos, {clips} clips each", *told)


def train(model: torch.nn.Module, dataset: MMDataset, first: int) -> None:
    """Forwards and backwards over the clips of STEP videos."""
    batch = collate(dataset.__getitems__([ItemKey(0, first + number) for number in range(STEP)]))
    out = model(**{key: batch[key].flatten(0, 1) for key in ("caps", "cmasks", "vfeats", "vmasks")})
    model.zero_grad()
    total(MMContraLoss()(pooled_video=out.pooled_video, pooled_text=out.pooled_text)).backward()


def points(videos: int) -> torch.Tensor:
    """Draw vectors in groups of likes: float32 (videos, WIDTH)."""
    draw = np.random.default_rng(SEED)
    likes = 3 * draw.standard_normal((videos // 100 + 1, WIDTH), np.float32)
    rows = np.empty((videos, WIDTH), np.float32)
    for part in np.array_split(rows, videos // 100):  # no second copy, which would hide what a plan takes
        part[:] = draw.standard_normal(part.shape, np.float32) + likes[draw.integers(len(likes), size=len(part))]
    return torch.from_numpy(rows)


def plan(rows: torch.Tensor) -> tuple[tuple[int, ...], ...]:
    """Plan in our form."""
    return plan_clusters(rows, seed=SEED, epoch=0, num_cands=CANDS, num_video_per_batch=SIZE).clusters


def plain_plan(rows: np.ndarray) -> list[list[int]]:
    """Plan query by query."""
    draw = random.Random(SEED)
    clusters = []
    for query in draw.sample(range(len(rows)), len(rows) // SIZE):
        nearest = np.argsort(np.linalg.norm(rows - rows[query], axis=1))[:CANDS].tolist()
        clusters.append([query, *draw.sample([row for row in nearest if row != query], SIZE - 1)])
    return clusters


def peak() -> float:
    """The highest resident megabytes of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> int:
    """Measure and print.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3, help="counted turns (%(default)s)")
    parser.add_argument("--videos", type=int, default=VIDEOS, help="videos of the paired plan (%(default)s)")
    parser.add_argument("--no-embedding", action="store_true", help="leave out what takes a model of full size")
    args = parser.parse_args()
    show("memory of a plan", MEMORY_HEADER, run_memory((args.videos, 4 * args.videos)))
    plans = run_plans(args.videos, args.turns)
    rows = [(form.name, f"{form.seconds:.2f}", f"{form.ratio:.1f}") for form in plans]
    show(f"a plan of {args.videos:,} videos", PLAN_HEADER, rows)
    if not args.no_embedding:
        with tempfile.TemporaryDirectory() as folder:
            timed = run_embedding(Path(folder), args.turns)
        rows = [(form.name, f"{1000 * form.seconds / EMBEDDED:.0f}", f"{1 / form.ratio:.1%}") for form in timed]
        show(f"{EMBEDDED} videos", EMBED_HEADER, rows)
        training, *embeddings = timed
        shares = [
            share(args.videos, clips, plans[-1], training, embedding)
            for clips, embedding in zip((FEW, CLIPS), embeddings, strict=True)
        ]
        show("embedding, neighbours and clusters", SHARE_HEADER, shares)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
