"""The data path of training with retrieved videos: batches of 32 videos x 16 clips, against the plain form.

2,000 videos of 300 s, float16 shards of 100 videos, captions of about 3 s. The plain form opens both memory maps anew
and reads the shard list again for each item, draws and cuts clip by clip in Python, and pads each clip to float32
before all are stacked. Both draw from the same distributions, and torch has one thread, so that what else runs on the
machine does not decide. Run: python -m benchmarks.retrieval_data
"""

import argparse
import math
import pickle
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.paired import run_paired, show
from mmpt.config.schema import DatasetConfig
from mmpt.datasets import ItemKey, MMDataset, build_loader, collate
from mmpt.processors.how2 import (
    ShardedHow2VideoRetriMetaProcessor,
    ShardedVideoRetriTextProcessor,
    ShardedVideoRetriVideoProcessor,
)
from mmpt.processors.how2_aligners import VideoRetriOverlappedAligner
from mmpt.utils.shardedtensor import ShardedTensor, write_meta

VIDEOS, SECONDS, WIDTH, PER_SHARD = 2_000, 300, 512, 100
CAPTIONS, TOKENS = 100, 32  # of a video; most of a caption, as shards hold them
CLUSTER, CLIPS = 32, 16  # videos of a batch; clips of a video
SPECIAL = {"cls_token_id": 101, "sep_token_id": 102, "pad_token_id": 0}
HEADER = ("batches of 32 videos x 16 clips", "s a batch", "videos/s", "ratio")
LOADER_HEADER = ("DataLoader, whole epochs", "s a batch")
WORKERS = ((0, None), (1, "thread"), (2, "thread"), (1, "fork"), (2, "fork"))
SEED = 0


def run(dataset: MMDataset, folder: Path, turns: int) -> list[tuple[str, ...]]:
    """Measure a batch against the plain form.

    Args:
        dataset: reads the shards.
        folder: the shards.
        turns: counted turns.

    Returns:
        Rows: what, median seconds a batch, videos a second, ratio.
    """
    plain = PlainForm(folder, len(dataset))
    draw = np.random.default_rng(SEED)

    def batch_of(read: Callable[[list[int]], Any]) -> Callable[[], Any]:
        return lambda: read(draw.integers(0, len(dataset), CLUSTER).tolist())

    forms = {
        "plain form": batch_of(plain.batch),
        "ours, item by item": batch_of(lambda rows: collate([dataset[ItemKey(1, row)] for row in rows])),
        "ours": batch_of(lambda rows: collate(dataset.__getitems__([ItemKey(1, row) for row in rows]))),
    }
    timed = run_paired(forms, turns=turns)
    shapes = [{key: tuple(form.result[key].shape) for key in ("caps", "vfeats", "vmasks")} for form in timed]
    assert all(shape == shapes[0] for shape in shapes), f"the forms differ: {shapes}"
    return [(form.name, f"{form.seconds:.3f}", f"{CLUSTER / form.seconds:,.0f}", f"{form.ratio:.2f}") for form in timed]


def run_loaders(dataset: MMDataset) -> list[tuple[str, ...]]:
    """Measure whole epochs of a DataLoader, the second one counted; nothing is done with a batch.

    Args:
        dataset: reads the shards.

    Returns:
        Rows: number and kind of workers, mean seconds a batch.
    """
    rows = []
    for workers, kind in WORKERS:
        loader = build_loader(dataset, num_workers=workers, start_method=kind)
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            count = sum(1 for _ in loader)
            seconds = (time.perf_counter() - began) / count
        rows.append((f"{workers} workers ({kind})" if workers else "no workers", f"{seconds:.3f}"))
    return rows


def write_shards(folder: Path, videos: int) -> DatasetConfig:
    """Write shards of random features and captions.

    Args:
        folder: where to.
        videos: how many.

    Returns:
        The `dataset:` block that reads them.
    """
    rng = np.random.default_rng(SEED)
    meta: dict[int, list[str]] = {}
    features = rng.standard_normal((PER_SHARD * SECONDS, WIDTH), np.float32).astype(np.float16)
    begin = np.linspace(0, SECONDS - 3, CAPTIONS, dtype=np.float32)
    times = np.stack([begin, begin + 3.3], axis=1)
    for shard, first in enumerate(range(0, videos, PER_SHARD)):
        meta[shard] = [f"v{number:011d}" for number in range(first, min(first + PER_SHARD, videos))]
        count = len(meta[shard])
        starts = np.arange(count + 1)
        ids = rng.integers(1000, 30000, (count * CAPTIONS, TOKENS), np.int32)
        ids[np.arange(TOKENS) >= rng.integers(4, 13, len(ids))[:, None]] = -1
        prefix = f"{folder}/train_{shard}"
        ShardedTensor(features[: count * SECONDS], starts * SECONDS).save(prefix)
        captions = f"{folder}/caption.train_{shard}"
        ShardedTensor(np.tile(times, (count, 1)), starts * CAPTIONS).save(f"{captions}.startends")
        ShardedTensor(ids, starts * CAPTIONS).save(f"{captions}.caps_ids")
    write_meta(folder / "train_meta.pkl", meta)
    (folder / "train.lst").write_text("".join(f"{name}\n" for names in meta.values() for name in names))
    return DatasetConfig(
        bert_name="none",
        train_path=str(folder / "train.lst"),
        vfeat_dir=str(folder),
        tfeat_dir=str(folder / "caption."),
        sampled_min_len=8,
        sampled_max_len=64,
        sampled_video_min_len=3,
        sampled_video_max_len=32,
        clip_per_video=CLIPS,
        num_video_per_batch=CLUSTER,
    )


class PlainForm:
    """The data path as one writes it first.

    Args:
        folder: the shards.
        videos: how many they hold.
    """

    places, seconds = 64, 32  # of a clip: text tokens with those that frame them, and seconds of video

    def __init__(self, folder: Path, videos: int) -> None:
        self.folder = folder
        self.keys = [divmod(number, PER_SHARD) for number in range(videos)]
        self.random = random.Random(SEED)

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Make a batch, video by video.

        Args:
            rows: which videos.

        Returns:
            `caps`, `cmasks`, `vfeats` and `vmasks` (videos, clips, ...).
        """
        items = [self.item(row) for row in rows]
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}

    def item(self, row: int) -> dict[str, torch.Tensor]:
        """Make an item, clip by clip."""
        shard, place = self.keys[row]
        with (self.folder / "train_meta.pkl").open("rb") as file:
            pickle.load(file)  # our own, written above
        video = self._rows(f"train_{shard}", place)
        times = self._rows(f"caption.train_{shard}.startends", place)
        captions = [[token for token in row if token != -1] for row in self._rows_of_ids(shard, place)]
        clips = [self._clip(video, times, captions) for _ in range(CLIPS)]
        return {key: torch.stack([clip[key] for clip in clips]) for key in clips[0]}

    def _rows(self, name: str, place: int) -> np.ndarray:
        starts = np.load(self.folder / f"{name}_starts.npy", mmap_mode="r")
        data = np.load(self.folder / f"{name}_data.npy", mmap_mode="r")
        return data[starts[place] : starts[place + 1]]

    def _rows_of_ids(self, shard: int, place: int) -> list[list[int]]:
        return self._rows(f"caption.train_{shard}.caps_ids", place).tolist()

    def _clip(self, video: np.ndarray, times: np.ndarray, captions: list[list[int]]) -> dict[str, torch.Tensor]:
        first = last = self.random.randint(0, len(captions) - 1)
        limit, tokens = self.random.randint(8, 64), len(captions[first])
        while tokens < limit and (first > 0 or last < len(captions) - 1):
            if last < len(captions) - 1 and (first == 0 or self.random.random() < 0.5):
                last += 1
                tokens += len(captions[last])
            else:
                first -= 1
                tokens += len(captions[first])
        center = self.random.randint(math.floor(times[first][0]), math.ceil(times[last][1]))
        start, end = self._grow(len(video), min(center, len(video)), self.random.randint(3, self.seconds))
        ids = [token for caption in captions[first : last + 1] for token in caption][: self.places - 3]
        caps = torch.tensor([101, 102, *ids, 102] + [0] * (self.places - 3 - len(ids)))
        vfeats = np.zeros((self.seconds, video.shape[1]), np.float32)
        vfeats[: end - start] = video[start:end]
        vmasks = torch.arange(self.seconds) < end - start
        return {"caps": caps, "cmasks": caps != 0, "vfeats": torch.from_numpy(vfeats), "vmasks": vmasks}

    def _grow(self, length: int, center: int, seconds: int) -> tuple[int, int]:
        start = end = center
        while end - start < min(seconds, length):
            if end < length and (start == 0 or self.random.random() < 0.5):
                end += 1
            else:
                start -= 1
        return start, end


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7, help="counted turns (%(default)s)")
    parser.add_argument("--videos", type=int, default=VIDEOS, help="videos in the shards (%(default)s)")
    args = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measure(args.videos, args.turns)
    finally:
        torch.set_num_threads(threads)
    return 0


def measure(videos: int, turns: int) -> None:
    """Measure the data path, and the same in a DataLoader, and print.

    Args:
        videos: in the shards.
        turns: counted turns.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = write_shards(Path(folder), videos)
        dataset = MMDataset(
            ShardedHow2VideoRetriMetaProcessor(config),
            ShardedVideoRetriVideoProcessor(config),
            ShardedVideoRetriTextProcessor(config),
            VideoRetriOverlappedAligner(config, special=SPECIAL),
            seed=SEED,
        )
        rows = run(dataset, Path(folder), turns)
        show(f"retrieval data path, {videos:,} videos of {SECONDS} s", HEADER, rows)
        show("the same through a DataLoader", LOADER_HEADER, run_loaders(dataset))


if __name__ == "__main__":
    raise SystemExit(main())
