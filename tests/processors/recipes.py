"""What tests of data sets share: configurations, features and files made for one test."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.config.schema import DatasetConfig

SPECIAL = {"cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}


def config(**keys: Any) -> DatasetConfig:
    """A `dataset:` block; keys that are no fields go to `extra`, as in a YAML file."""
    own = {entry.name for entry in fields(DatasetConfig)}
    named = {key: value for key, value in keys.items() if key in own}
    named = {"bert_name": "tiny-bert", "split": "test", "max_len": 24, "max_video_len": 8, **named}
    return DatasetConfig(**named, extra={key: value for key, value in keys.items() if key not in own})


def write_features(folder: Path, **seconds: int) -> str:
    """One feature file a video, each second filled with its number."""
    folder.mkdir(exist_ok=True)
    for video, count in seconds.items():
        np.save(folder / f"{video}.npy", np.arange(count, dtype=np.float16)[:, None].repeat(4, axis=1))
    return str(folder)


def write_json(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def assert_told(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"


def one_fault(faults: tuple[str, ...], *parts: str) -> None:
    assert len(faults) == 1, faults
    assert_told(faults[0], *parts)
