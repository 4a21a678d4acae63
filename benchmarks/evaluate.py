"""Evaluation: retrieval and segmentation against the plain form, step alignment, and metrics over many scores.

The plain form asks as the original does: one video at a time, every text and window padded to full length, through
eager attention. Both have the same weights, in fp32. Clip lengths are YouCook2's and captions MSR-VTT's where those are
at hand, else of the same spread; videos of the COIN-like task have COIN's mean length. Run:

    python -m benchmarks.evaluate --items 3300 --videos 100
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.paired import run_paired, show
from benchmarks.towers import captions, clip_lengths
from mmpt.evaluators.encoding import Towers, seconds_by_length
from mmpt.evaluators.retrieval import RetrievalAnswers, RetrievalMetric
from mmpt.evaluators.steps import align
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.video.windows import cut, merge

HEADER = ("", "plain s", "ours s", "ratio", "largest difference")
LABELS, WINDOW, STRIDE, WIDTH = 778, 32, 16, 512
SECONDS = (30, 252)  # of a COIN-like video, 141 in the mean
TOGETHER = 256  # pairs asked at once, and 16 videos, as the predictors do
VIDEOS_TOGETHER = 16
SEED = 0


def models() -> tuple[MMPTPreTrainedModel, MMPTPreTrainedModel]:
    """Make VideoCLIP at bert-base size twice: the plain form and ours."""
    torch.manual_seed(SEED)
    plain, ours = (build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).eval() for _ in range(2))
    ours.load_state_dict(plain.state_dict())
    plain.set_attn_implementation("eager")
    plain.trim_padding = False
    return plain, ours


@torch.inference_mode()
def retrieval(plain: MMPTPreTrainedModel, ours: MMPTPreTrainedModel, items: int, turns: int) -> tuple[str, ...]:
    """Measure a retrieval evaluation.

    Args:
        plain: the plain form's model.
        ours: the same weights.
        items: pairs of a text and a clip.
        turns: counted turns.

    Returns:
        A row of the table.
    """
    rng = torch.Generator().manual_seed(SEED)
    caps, cmasks = (part.repeat(items // len(part) + 1, 1)[:items].clone() for part in captions())
    words = (caps > 1000) & cmasks
    caps[words] = torch.randint(1000, 30_000, (int(words.sum()),), generator=rng)  # no text twice
    lengths = clip_lengths().repeat(items // 64 + 1)[:items]
    vmasks = torch.arange(WINDOW) < lengths[:, None]
    vfeats = torch.nn.functional.normalize(torch.randn(items, WINDOW, WIDTH, generator=rng), dim=2) * vmasks[..., None]

    def one_by_one() -> Sequence[np.ndarray]:
        found = [plain(*(part[i : i + 1] for part in (caps, cmasks, vfeats, vmasks))) for i in range(items)]
        return tuple(torch.cat([getattr(o, name) for o in found]).numpy() for name in ("pooled_text", "pooled_video"))

    def together() -> Sequence[np.ndarray]:
        towers = Towers(ours)
        parts = [slice(start, start + TOGETHER) for start in range(0, items, TOGETHER)]
        texts = [towers.texts(caps[part], cmasks[part]) for part in parts]
        videos = [towers.videos(vfeats[part], vmasks[part], caps[part], cmasks[part]) for part in parts]
        return np.concatenate(texts), np.concatenate(videos)

    return _row(f"retrieval, {items:,} clips of {int(lengths.min())} to {WINDOW} s", one_by_one, together, turns)


@torch.inference_mode()
def segmentation(plain: MMPTPreTrainedModel, ours: MMPTPreTrainedModel, videos: int, turns: int) -> tuple[str, ...]:
    """Measure a zero-shot segmentation of COIN-like videos, without the labels' texts, which are encoded once.

    Args:
        plain: the plain form's model.
        ours: the same weights.
        videos: how many.
        turns: counted turns.

    Returns:
        A row of the table.
    """
    rng = np.random.default_rng(SEED)
    labels = torch.from_numpy(rng.normal(size=(LABELS, 768)).astype(np.float32))
    lengths = [int(length) for length in rng.integers(*SECONDS, size=videos, endpoint=True)]
    bounds = [cut(length, WINDOW, STRIDE) for length in lengths]
    masks = [torch.stack([torch.arange(WINDOW) < end - start for start, end in windows]) for windows in bounds]
    feats = [torch.randn(*mask.shape, WIDTH) / WIDTH**0.5 * mask[..., None] for mask in masks]

    def merged(scores: np.ndarray, video: int) -> np.ndarray:
        return merge(scores, bounds[video], lengths[video])

    def one_by_one() -> list[np.ndarray]:
        scores = (plain.get_video_tokens(feats[v], masks[v]) @ labels.T for v in range(videos))
        return [merged(each.numpy(), video) for video, each in enumerate(scores)]

    def together() -> list[np.ndarray]:
        result = []
        for first in range(0, videos, VIDEOS_TOGETHER):
            some = range(first, min(first + VIDEOS_TOGETHER, videos))
            vfeats, vmasks = (torch.cat([each[v] for v in some]) for each in (feats, masks))
            scores = seconds_by_length(
                lambda f, m: ours.get_video_tokens(f, m) @ labels.T, vfeats, vmasks, (), ours.device
            )
            ends = np.cumsum([len(masks[v]) for v in some])
            result += [merged(part, v) for part, v in zip(np.split(scores, ends[:-1]), some, strict=True)]
        return result

    return _row(f"segmentation, {videos:,} videos of {np.mean(lengths):.0f} s", one_by_one, together, turns)


def alignment(turns: int) -> tuple[str, ...]:
    """Measure step alignment.

    Args:
        turns: counted turns.

    Returns:
        A row: what, median milliseconds a call.
    """
    costs = np.random.default_rng(SEED).normal(size=(turns, 300, 10))
    times = []
    for cost in costs:
        began = time.perf_counter()
        align(cost)
        times.append(time.perf_counter() - began)
    return "step alignment, 300 s, 10 steps", f"{np.median(times) * 1e3:.3f} ms", ""


def metrics(count: int, width: int = 768) -> tuple[str, ...]:
    """Measure the retrieval metric on vectors, whose scores are never there all at once.

    Args:
        count: texts, and videos.
        width: of a vector.

    Returns:
        A row: what, seconds, and the most memory that it took at a time.
    """
    texts, videos = np.random.default_rng(SEED).standard_normal((2, count, width), np.float32)
    began = time.perf_counter()
    RetrievalMetric().compute(RetrievalAnswers(texts, videos))
    seconds = time.perf_counter() - began
    tracemalloc.start()  # which slows, so that it is done again
    RetrievalMetric().compute(RetrievalAnswers(texts, videos))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    name = f"retrieval metric, {count:,} x {count:,} scores"
    return name, f"{seconds:.2f} s", f"{peak / 1e6:,.0f} MB at most ({count * count * 4 / 1e6:,.0f} MB of scores)"


def _row(name: str, plain: Callable[[], Any], ours: Callable[[], Any], turns: int) -> tuple[str, ...]:
    first, second = run_paired({"plain": plain, "ours": ours}, turns=turns)
    return (
        name,
        f"{first.seconds:.1f}",
        f"{second.seconds:.1f}",
        f"{second.ratio:.2f}",
        f"{max(_distances(first.result, second.result)):.0e} of {max(_sizes(first.result)):.2g}",
    )


def _distances(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> list[float]:
    return [float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)]


def _sizes(arrays: Sequence[np.ndarray]) -> list[float]:
    return [float(np.abs(array).max()) for array in arrays]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=192, help="clips of the retrieval evaluation")
    parser.add_argument("--videos", type=int, default=8, help="videos of the COIN-like evaluation")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scores", type=int, nargs="*", default=[2_500, 5_000, 10_000], help="texts of the metric")
    args = parser.parse_args()
    rows = [alignment(1000), *(metrics(count) for count in args.scores)]
    show("without a model", ("", "time", "memory"), rows)
    plain, ours = models()
    shown = [retrieval(plain, ours, args.items, args.turns), segmentation(plain, ours, args.videos, args.turns)]
    show(f"VideoCLIP at bert-base size, {torch.get_num_threads()} threads", HEADER, shown)


if __name__ == "__main__":
    main()
