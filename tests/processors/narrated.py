"""A small HowTo100M: shards of features and captions, made for one test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmpt.config.schema import DatasetConfig
from mmpt.utils.shardedtensor import ShardWriter, write_meta

SPECIAL = {"cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
WIDTH, TOKENS = 6, 32


def write_narrated(folder: Path, seconds: Sequence[int], *, per_shard: int = 3, silent: Sequence[str] = ()) -> dict:
    """Write videos v0, v1, ... and the list of them.

    Args:
        folder: where to; made when absent.
        seconds: of each video, and how many captions it has: one for each second but the last.
        per_shard: videos of a shard.
        silent: ids of videos without captions.

    Returns:
        The keys of the `dataset:` block that reads them.
    """
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"v{number}" for number in range(len(seconds))]
    meta: dict[int, list[str]] = {}
    for shard, first in enumerate(range(0, len(names), per_shard)):
        meta[shard] = names[first : first + per_shard]
        beginning = f"{folder}/caption.train_{shard}"
        with (
            ShardWriter(f"{folder}/train_{shard}") as features,
            ShardWriter(f"{beginning}.startends", dtype=np.float32, row_shape=(2,)) as times,
            ShardWriter(f"{beginning}.caps_ids", dtype=np.int32, row_shape=(TOKENS,)) as ids,
        ):
            for name in meta[shard]:
                length = seconds[int(name[1:])]
                features.append(rng.standard_normal((length, WIDTH)), name)
                captions = 0 if name in silent else max(length - 1, 1)
                begin = np.arange(captions, dtype=np.float32)
                times.append(np.stack([begin, begin + 1.5], axis=1), name)
                words = rng.integers(5, 600, (captions, TOKENS))
                words[np.arange(TOKENS) >= rng.integers(0, 9, captions)[:, None]] = -1
                ids.append(words, name)
    write_meta(folder / "train_meta.pkl", meta)
    (folder / "train.lst").write_text("".join(f"{name}\n" for name in names))
    return {
        "train_path": str(folder / "train.lst"),
        "vfeat_dir": str(folder),
        "tfeat_dir": f"{folder}/caption.",
        "sampled_min_len": 8,
        "sampled_max_len": 20,
        "sampled_video_min_len": 2,
        "sampled_video_max_len": 8,
    }


def narrated(keys: dict, **more: object) -> DatasetConfig:
    """The `dataset:` block of such keys."""
    return DatasetConfig(**{"bert_name": "tiny-bert", "max_len": 24, "max_video_len": 8, **keys, **more})
