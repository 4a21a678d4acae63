"""Numbers that make no sense are told before anything runs, with all else that is wrong with a file."""

from dataclasses import fields
from typing import Any

import pytest

from mmpt.config import DatasetConfig, parse_config
from mmpt.config.schema import ModelConfig, TaskConfig
from mmpt.config.training import CheckpointConfig, LoaderConfig, LoggingConfig, OptimConfig

GOOD = "dataset: {bert_name: b}\nmodel: {model_cls: MMFusionJoint}\n"
TYPED = (DatasetConfig, ModelConfig, TaskConfig, OptimConfig, CheckpointConfig, LoggingConfig, LoaderConfig)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fairseq.dataset.batch_size=-4", "fairseq.dataset.batch_size is -4; it takes 1 or more"),
        ("fairseq.dataset.batch_size=0", "fairseq.dataset.batch_size is 0; it takes 1 or more"),
        ("fairseq.dataset.num_workers=-1", "fairseq.dataset.num_workers is -1; it takes 0 or more"),
        ("fairseq.optimization.lr=-1", "fairseq.optimization.lr is [-1]; it takes 0 or more"),
        ("fairseq.optimization.lr=[0.1,.nan]", "fairseq.optimization.lr is [0.1, nan]; it takes 0 or more"),
        ("fairseq.optimizer.adam_betas=[2,3]", "adam_betas is [2, 3]; it takes two numbers from 0 on, below 1"),
        ("fairseq.optimizer.adam_betas=[0.9,1]", "adam_betas is [0.9, 1]; it takes two numbers from 0 on, below 1"),
        ("fairseq.optimization.max_epoch=-1", "max_epoch is -1; it takes 1 or more, or 0 for no bound"),
        ("fairseq.optimization.clip_norm=.inf", "clip_norm is inf; it takes 0 or more"),
        ("fairseq.checkpoint.keep_last_epochs=-2", "keep_last_epochs is -2; it takes 0 or more, or -1 for all"),
        ("fairseq.common.ema_decay=1", "ema_decay is 1; it takes a number between 0 and 1"),
        ("model.num_hidden_video_layers=-1", "model.num_hidden_video_layers is -1; it takes 0 or more"),
        ("dataset.mm_prob=1.5", "dataset.mm_prob is 1.5; it takes 0 to 1"),
        ("dataset.sliding_window=0", "dataset.sliding_window is 0; it takes 1 or more"),
        ("retri_epoch=0", "retri_epoch is 0; it takes 1 or more"),
    ],
)
def test_a_number_out_of_its_range_is_told_with_its_place(override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_config(GOOD, overrides=[override])
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 1 and f"{message} (override {override})" in lines[0]


def test_a_number_is_told_also_where_another_key_of_its_block_is_missing_or_wrong() -> None:
    text = "dataset:\n  max_video_len: 0\n  split: tran\nmodel:\n  num_labels: 0\n  model_cls: [a]\n  video_dim: -3\n"
    with pytest.raises(ValueError) as caught:
        parse_config(text, source="mine.yaml")
    assert str(caught.value).splitlines()[1:] == [
        "  - dataset.bert_name is missing (mine.yaml, line 1)",
        "  - dataset.max_video_len is 0; it takes 1 or more, one for each second (mine.yaml, line 2)",
        "  - dataset.split is 'tran'; it takes train, valid, test (mine.yaml, line 3)",
        "  - model.num_labels is 0; it takes 1 or more (mine.yaml, line 5)",
        "  - model.model_cls is ['a']; it takes str (mine.yaml, line 6)",
        "  - model.video_dim is -3; it takes 1 or more (mine.yaml, line 7)",
    ]


def test_what_is_missing_is_blamed_on_no_other_key() -> None:
    """95 seconds leave 1 place of the 96 that hold where max_len is not known."""
    with pytest.raises(ValueError) as caught:
        parse_config("dataset: {bert_name: b, max_len: long, max_video_len: 95}\nmodel: {model_cls: A}\n")
    assert str(caught.value).splitlines()[1:] == ["  - dataset.max_len is 'long'; it takes int (<text>, line 1)"]


@pytest.mark.parametrize("cls", TYPED)
def test_ranges_are_of_keys_that_there_are(cls: Any) -> None:
    assert set(cls.RANGES) <= {entry.name for entry in fields(cls)}


def test_every_number_of_a_file_has_a_range() -> None:
    numbers = {
        (cls.__name__, entry.name)
        for cls in TYPED
        for entry in fields(cls)
        if any(word in str(entry.type) for word in ("int", "float"))
    }
    assert len(numbers) > 40
    assert numbers == {(cls.__name__, key) for cls in TYPED for key in cls.RANGES}


def test_values_made_in_python_are_looked_at_too() -> None:
    with pytest.raises(ValueError, match="batch_size is -4; it takes 1 or more"):
        LoaderConfig(batch_size=-4)
