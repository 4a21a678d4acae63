"""The `fairseq:` block into typed fields: what is understood, what is wrong, what nothing acts on."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from mmpt.config import load_config, parse_config
from mmpt.config.training import CheckpointConfig, LoaderConfig, LoggingConfig, OptimConfig
from tests.config.test_load import GOOD
from tests.conftest import ROOT

BLOCK = """
fairseq:
  common: {tensorboard_logdir: run, log_interval: 10, fp16: true, seed: 7, wandb_project: mine}
  dataset: {num_workers: 2, batch_size: 64, valid_subset: test}
  optimization:
    lr: [0.00005]
    clip_norm: 2
    optimizer: adam
    adam_betas: "(0.9, 0.98)"
    lr_scheduler: polynomial_decay
    total_num_update: 1000
    warmup_updates: 10
    weight_decay: 0.01
    max_epoch: 5
    max_update: 0
    update_freq: [2]
  checkpoint: {restore_file: a.pt, reset_optimizer: true, save_dir: runs/a, patience: null}
  common_eval: {path: b.pt}
"""


def test_every_kind_of_value() -> None:
    run = parse_config(GOOD + BLOCK)
    assert run.optim == OptimConfig(
        lr=(0.00005,),
        clip_norm=2,
        adam_betas=(0.9, 0.98),
        lr_scheduler="polynomial_decay",
        total_num_update=1000,
        warmup_updates=10,
        weight_decay=0.01,
        max_epoch=5,
        update_freq=(2,),
        fp16=True,
        seed=7,
    )
    assert run.checkpoint == CheckpointConfig(save_dir="runs/a", restore_file="a.pt", path="b.pt", reset_optimizer=True)
    assert run.logging == LoggingConfig(log_interval=10, tensorboard_logdir="run", wandb_project="mine")
    assert run.loader == LoaderConfig(batch_size=64, num_workers=2, valid_subset="test")


@pytest.mark.parametrize("text", ["", "fairseq:", "fairseq: {}", "fairseq: {common: }"])
def test_a_file_need_not_have_the_block(text: str) -> None:
    run = parse_config(GOOD + text)
    assert (run.optim, run.loader) == (OptimConfig(), LoaderConfig())


def test_numbers_may_stand_alone_and_pairs_as_lists() -> None:
    block = "fairseq: {optimization: {lr: 0.1, adam_betas: [0.8, 0.9], update_freq: 4}, other: {keep-last-epochs: 3}}"
    run = parse_config(GOOD + block)
    assert (run.optim.lr, run.optim.adam_betas, run.optim.update_freq) == ((0.1,), (0.8, 0.9), (4,))
    assert run.checkpoint.keep_last_epochs == 3


def test_the_batch_size_is_what_the_file_says() -> None:
    run = parse_config(GOOD.replace("bert_name: b", "bert_name: b, subsampling: 32") + BLOCK)
    assert run.loader.batch_size == 64, "a loader divides it, a file that is loaded stays as it is"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("fairseq: 3", r"'fairseq' is 3, not a block of keys \(mine.yaml, line 3\)"),
        ("fairseq: {lr: 3}", r"fairseq.lr is 3, not a block of keys; write fairseq.optimization.lr"),
        ("fairseq: {optimization: {lr: fast}}", "fairseq.optimization.lr is 'fast'; it takes a list or null"),
        ("fairseq: {optimization: {lr: [fast]}}", r"optimization.lr is \['fast'\]; it takes one number or a list"),
        ("fairseq: {optimization: {lr: []}}", r"optimization.lr is \[\]; it takes one number or a list"),
        ("fairseq: {optimization: {adam_betas: '(0.9,'}}", r"adam_betas is '\(0.9,'; it takes a list"),
        ('fairseq: {optimization: {adam_betas: "(0.9, 0.9, 1)"}}', "adam_betas is .*; it takes two numbers"),
        ("fairseq: {optimization: {update_freq: 0.5}}", r"update_freq is \[0.5\]; it takes one number"),
        ("fairseq: {optimization: {max_epoch: ten}}", "fairseq.optimization.max_epoch is 'ten'; it takes int or null"),
        ("fairseq: {dataset: {batch_sampler: random}}", "batch_sampler is 'random'; use one of consecutive, shuffled"),
        ("fairseq: {common: {fp16: 1}}", r"fairseq.common.fp16 is 1; it takes bool \(mine.yaml, line 3\)"),
    ],
)
def test_a_wrong_value_is_told_with_its_line(block: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config(GOOD + block, source="mine.yaml")


def test_the_papers_files_cut_batches_as_the_original() -> None:
    files = [path for name in ("mtm/vlm", "retri/videoclip") for path in (ROOT / "projects" / name).glob("*.yaml")]
    assert len(files) > 30
    assert {load_config(path).loader.batch_sampler for path in files} == {"consecutive"}


def test_keys_that_nothing_acts_on_give_one_warning() -> None:
    block = "fairseq:\n  common:\n    empty_cache_freq: 3\n    fp16: true\n  optimization: {sentence_avg: true}\n"
    with pytest.warns(UserWarning) as caught:
        run = parse_config(GOOD + block, source="mine.yaml")
    assert [str(entry.message) for entry in caught] == [
        "mine.yaml: nothing here acts on fairseq.common.empty_cache_freq (mine.yaml, line 5), "
        "fairseq.optimization.sentence_avg (mine.yaml, line 7); the run goes on without"
    ]
    assert run.optim.fp16


def test_loading_every_file_warns_of_nothing_and_draws_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = random.getstate(), str(np.random.get_state())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder in ("retri/videoclip", "mtm/vlm"):
            for path in (ROOT / "projects" / folder).iterdir():
                load_config(path)
    assert (random.getstate(), str(np.random.get_state())) == before
    assert list(tmp_path.iterdir()) == []
