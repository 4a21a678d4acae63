"""The loop in one process: what must make no difference, and what must."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.original import read_original
from mmpt.retrieval.planner import plan_epoch
from mmpt.training import session
from mmpt.training.measures import read
from mmpt.training.metrics_log import read_metrics
from tests.training.worlds import VIDEOCLIP, VLM, curve, narrated_yaml, train

OWN = "tests.training.tasks_of_ones_own"


def run(world: Path, folder: Path, project: str = VIDEOCLIP, words: tuple[str, ...] = (), **more) -> list[dict]:
    folder.mkdir(parents=True, exist_ok=True)
    assert train(narrated_yaml(world, folder, project, **more), *words) == 0
    return curve(folder)


def losses(lines: list[dict]) -> np.ndarray:
    return np.array([line["loss"] for line in lines])


@pytest.mark.parametrize("project", [VIDEOCLIP, VLM])
def test_the_same_seed_gives_the_same_losses(world: Path, tmp_path: Path, project: str) -> None:
    first = run(world, tmp_path / "a", project)
    before = torch.get_rng_state()
    assert run(world, tmp_path / "b", project, fairseq__dataset__num_workers=2) == first
    assert torch.equal(torch.get_rng_state(), before), "the global random state is not ours"
    assert run(world, tmp_path / "c", project, fairseq__common__seed=2) != first


@pytest.mark.parametrize("project", [VIDEOCLIP, VLM])
def test_it_learns(world: Path, tmp_path: Path, project: str) -> None:
    run(world, tmp_path, project, fairseq__optimization__max_epoch=6)
    validated = losses(curve(tmp_path, "valid"))
    assert validated.min() < 0.9 * validated[0]
    best = read_original(tmp_path / "runs" / "checkpoint_best.pt").info
    assert best["epoch"] == validated.argmin() + 1 and best["num_updates"] == best["epoch"] * (
        5 if "clip" in project else 3
    )


def test_a_run_has_the_rates_of_the_schedule_before_each_update(world: Path, tmp_path: Path) -> None:
    """Also behind a stop; and the log has the rate that the update was made with."""
    keys: dict[str, Any] = {"fairseq__optimization__warmup_updates": 4, "fairseq__optimization__total_num_update": 8}
    run(world, tmp_path, words=("fairseq.optimization.max_update=3",), **keys)
    lines = run(world, tmp_path, **keys)
    assert [line["lr"] for line in lines] == pytest.approx(
        [0, 0.0005, 0.001, 0.0015, 0.002, 0.0015, 0.001, 0.0005, 0, 0]
    )


def test_dropout_is_at_work(world: Path, calm_world: Path, tmp_path: Path) -> None:
    assert run(world, tmp_path / "a")[0]["loss"] != run(calm_world, tmp_path / "b")[0]["loss"]


def test_keeping_less_for_the_gradient_changes_nothing(world: Path, tmp_path: Path) -> None:
    told = run(world, tmp_path / "a")
    less = run(world, tmp_path / "b", fairseq__optimization__gradient_checkpointing=True)
    np.testing.assert_allclose(losses(less), losses(told), rtol=1e-6)


def test_batches_add_up_to_an_update(world: Path, tmp_path: Path) -> None:
    one = run(world, tmp_path / "a", num_cands=4)
    two = run(world, tmp_path / "b", num_cands=4, fairseq__optimization__update_freq=[2])
    assert len(one) == 10 and len(two) == 6, "5 clusters make 3 updates, the last of one cluster"
    assert two[0]["loss"] != one[0]["loss"]
    pairs = [line["pairs"] for line in two[:3]]
    assert pairs == [12, 12, 6]


def test_half_precision_comes_close(world: Path, tmp_path: Path) -> None:
    exact = losses(run(world, tmp_path / "a"))
    half = losses(run(world, tmp_path / "b", fairseq__common__bf16=True))
    assert not np.array_equal(exact, half)
    np.testing.assert_allclose(half, exact, rtol=0.1)
    state = read_original(tmp_path / "b" / "runs" / "checkpoint_best.pt").state
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}


def test_fp16_without_cuda_is_told(world: Path, tmp_path: Path, capsys) -> None:
    exact = run(world, tmp_path / "a")
    assert run(world, tmp_path / "b", fairseq__common__fp16=True, fairseq__dataset__batch_sampler="shuffled") == exact
    said = capsys.readouterr().out
    assert "fp16 is for CUDA; on cpu this computes in fp32" in said
    assert "a batch is a cluster of dataset.num_video_per_batch videos, whatever batch_sampler says" in said


def test_the_average_is_what_is_evaluated_and_written(world: Path, tmp_path: Path) -> None:
    told = run(world, tmp_path / "a")
    assert run(world, tmp_path / "b", fairseq__optimization__ema_decay=0.9) == told, "learning is the same"
    assert curve(tmp_path / "a", "valid") != curve(tmp_path / "b", "valid")
    first, second = (read_original(tmp_path / name / "runs" / "checkpoint_last.pt").state for name in "ab")
    assert not torch.equal(
        first["video_encoder.videomlp.linear1.weight"], second["video_encoder.videomlp.linear1.weight"]
    )


def test_from_scratch(world: Path, tmp_path: Path, capsys) -> None:
    scratch = run(world, tmp_path / "a", words=("--from-scratch",))
    assert "starting from random weights" in capsys.readouterr().out
    assert scratch != run(world, tmp_path / "b")


def test_a_bert_without_weights_is_told(world: Path, tmp_path: Path, capsys) -> None:
    bert = tmp_path / "bert"
    bert.mkdir()
    for path in (world / "bert").iterdir():
        if path.suffix != ".safetensors":
            (bert / path.name).write_bytes(path.read_bytes())
    path = narrated_yaml(world, tmp_path, dataset__bert_name=str(bert))
    assert train(path) == 2
    told = capsys.readouterr().err
    assert f"{bert} has no model.safetensors" in told and "--from-scratch" in told
    assert not (tmp_path / "runs").exists()


def test_nothing_gets_better(world: Path, tmp_path: Path) -> None:
    run(
        world,
        tmp_path,
        fairseq__optimization__max_epoch=9,
        fairseq__optimization__lr=[0],
        fairseq__checkpoint__patience=2,
    )
    assert len(curve(tmp_path, "epoch")) == 3


def test_without_validation_the_training_loss_says_which_is_best(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, fairseq__dataset__disable_validation=True, fairseq__optimization__max_epoch=3)
    assert not curve(tmp_path, "valid")
    best = int(losses(curve(tmp_path, "epoch")).argmin()) + 1
    assert read_original(tmp_path / "runs" / "checkpoint_best.pt").info["epoch"] == best


def test_which_checkpoints_are_kept(world: Path, tmp_path: Path) -> None:
    keys = {"save_interval_updates": 2, "keep_interval_updates": 2, "keep_last_epochs": 1, "keep_best_checkpoints": 2}
    more: dict[str, Any] = {f"fairseq__checkpoint__{key}": value for key, value in keys.items()}
    run(world, tmp_path, fairseq__optimization__max_epoch=4, **more)
    found = sorted(path.name for path in (tmp_path / "runs").glob("*.pt"))
    best = [name for name in found if name.startswith("checkpoint.best_loss_")]
    assert len(best) == 2
    valid = sorted(losses(curve(tmp_path, "valid")))[:2]
    assert [name.split("_")[-1] for name in best] == [f"{value:.4f}.pt" for value in valid]
    others = [name for name in found if name not in best]
    # updates 10 and 20 end an epoch
    assert others == [
        "checkpoint4.pt",
        "checkpoint_4_16.pt",
        "checkpoint_4_18.pt",
        "checkpoint_best.pt",
        "checkpoint_last.pt",
    ]


def test_the_log_has_every_update_and_tensorboard_some(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, fairseq__common__log_interval=3)
    lines = read_metrics(tmp_path / "runs")
    assert [line["update"] for line in lines if line["kind"] == "update"] == list(range(1, 11))
    keys = {"loss", "t2v", "v2t", "lr", "grad_norm", "pairs", "pairs_per_second", "waiting"}
    assert keys <= lines[1].keys()
    assert lines[0]["kind"] == "plan" and lines[0]["hard_negatives"] > 0
    assert list((tmp_path / "runs" / "run").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fairseq__optimization__lr": None}, "lr is None"),
        ({"fairseq__optimization__max_epoch": None}, "neither max_epoch nor max_update is set"),
        ({"fairseq__optimization__optimizer": "sgd"}, "optimizer is 'sgd'; it takes adam or adamw"),
        (
            {"fairseq__checkpoint__best_checkpoint_metric": "R1"},
            "best_checkpoint_metric is 'R1'; this training measures",
        ),
        ({"dataset__num_video_per_batch": 12, "num_cands": 12}, "11 videos give no cluster of 12"),
        ({"dataset__clip_per_video": 0}, "dataset.clip_per_video is 0"),
        ({"loss__gather": True, "loss__loss_cls": "MSE"}, "loss.gather is true, and MSE contrasts nothing"),
        (
            {"dataset__num_video_per_batch": None, "fairseq__dataset__batch_size": 9},
            "dataset.num_video_per_batch is not set",
        ),
    ],
)
def test_what_cannot_be_trained(world: Path, tmp_path: Path, capsys, keys: dict, message: str) -> None:
    assert train(narrated_yaml(world, tmp_path, **keys)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*")), "it is told before the first step"


def test_candidate_texts(world: Path, tmp_path: Path) -> None:
    """MIL-NCE: one short clip and four captions of each video."""
    plain = {
        "dataset__meta_processor": "ShardedHow2MetaProcessor",
        "dataset__video_processor": "ShardedVideoProcessor",
        "dataset__text_processor": "ShardedTextProcessor",
        "dataset__aligner": "How2MILNCEAligner",
        "dataset__num_video_per_batch": None,
        "dataset__clip_per_video": None,
        "task": "MILNCETask",
        "loss__loss_cls": "MILNCELoss",
        "fairseq__dataset__batch_size": 5,
    }
    lines = run(world, tmp_path, **plain)
    assert sorted(line["pairs"] for line in lines) == [4, 4, 20, 20, 20, 20], "the eleventh video is a batch"
    assert all(line["mil_nce"] == line["loss"] and (line["loss"] > 0) == (line["pairs"] > 4) for line in lines)


def test_a_tracker_that_is_not_installed_is_told_before_anything_runs(world: Path, tmp_path: Path, capsys) -> None:
    if find_spec("wandb"):
        pytest.skip("wandb is installed here")
    assert train(narrated_yaml(world, tmp_path, fairseq__common__wandb_project="mine")) == 2
    assert "not installed; get it with: pip install wandb" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(
    os.environ.get("ATEN_CPU_CAPABILITY") == "default",
    reason="inductor writes vector code that this setting of `make test-cpus` takes the headers from",
)
def test_compiled_code_learns_the_same(calm_world: Path, world: Path, tmp_path: Path) -> None:
    """But for dropout, whose draws are others; batches of another shape, as a validation's last, do no harm."""
    compiled = {"fairseq__optimization__compile": True, "fairseq__optimization__max_update": 3}
    told = run(calm_world, tmp_path / "a", fairseq__optimization__max_update=3)
    np.testing.assert_allclose(losses(run(calm_world, tmp_path / "b", **compiled)), losses(told), rtol=1e-4)
    first, second = (read_original(tmp_path / name / "runs" / "checkpoint_last.pt").state.keys() for name in "ab")
    assert first == second
    whole = run(world, tmp_path / "c", **compiled)
    assert losses(whole)[0] != losses(run(world, tmp_path / "d", fairseq__optimization__max_update=1))[0]
    run(world, tmp_path / "e", **{**compiled, "fairseq__optimization__max_update": 2})
    assert run(world, tmp_path / "e", **compiled) == whole, "it goes on bit for bit"


def test_what_is_compiled_is_planned_as_ever(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan takes the precision and the workers of the training, and cuts padding."""
    seen = []

    def spy(model, *given, **more):
        seen.append((model.trim_padding, more["precision"], more["num_workers"]))
        return plan_epoch(model, *given, **more)

    monkeypatch.setattr("mmpt.tasks.contrastive.plan_epoch", spy)
    monkeypatch.setattr(MMPTPreTrainedModel, "compile", lambda self: seen.append(self.trim_padding))
    run(
        world,
        tmp_path,
        fairseq__optimization__compile=True,
        fairseq__optimization__max_update=1,
        fairseq__common__bf16=True,
        fairseq__dataset__num_workers=2,
    )
    assert seen == [False, (True, torch.bfloat16, 2)]


def test_a_training_that_ends_is_validated(world: Path, tmp_path: Path) -> None:
    """Also where its last update ends an epoch that would not be."""
    run(world, tmp_path, fairseq__dataset__validate_interval=2, fairseq__optimization__max_update=5)
    assert [line["update"] for line in curve(tmp_path, "valid")] == [5]


def test_gradients_that_overflow_for_ever_end_the_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(session, "_precision", lambda optim, processes: (optim, []))  # fp16 on a CPU, for the test only
    own = {"task": f"{OWN}:Overflowing", "fairseq__common__fp16": True}
    assert train(narrated_yaml(world, tmp_path, **own, fairseq__optimization__max_epoch=99)) == 2
    assert "the gradients overflow in fp16 however they are scaled" in capsys.readouterr().err
    assert not curve(tmp_path) and len(curve(tmp_path, "overflow")) > 20
    assert {line["loss"] for line in curve(tmp_path, "epoch")} == {None}, "there is no mean"
    assert len(curve(tmp_path, "valid")) == len(curve(tmp_path, "epoch")) > 3


def test_what_overflows_is_no_update(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The learning rate does not move on, as in the original; what stopped goes on as if it had not."""
    monkeypatch.setattr(session, "_precision", lambda optim, processes: (optim, []))  # fp16 on a CPU, for the test only
    keys: dict[str, Any] = {"task": f"{OWN}:OverflowingSometimes", "fairseq__common__fp16": True}
    keys |= {"fairseq__common__log_interval": 1, "fairseq__optimization__max_epoch": 5}
    lines = run(world, tmp_path / "whole", **keys, fairseq__optimization__ema_decay=0.5)
    told = capsys.readouterr().out
    left_out = curve(tmp_path / "whole", "overflow")
    assert 2 <= len(left_out) == 25 - len(lines)
    assert [line["update"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["lr"] for line in lines[:3]] == pytest.approx([0, 0.001, 0.002], rel=1e-5)
    assert [line["scale"] for line in left_out] == [65536.0 / 2 ** (n + 1) for n in range(len(left_out))]
    assert told.count("fp16 overflows, and the batch is left out") == len(left_out)
    assert "epoch 5/5, 0 to go in it: loss" in told
    for updates in (1, 2, 4):
        words = (f"fairseq.optimization.max_update={updates}", "fairseq.optimization.ema_decay=0.5")
        run(world, tmp_path / "parts", words=words, **keys)
    run(world, tmp_path / "parts", **keys, fairseq__optimization__ema_decay=0.5)
    for kind in ("plan", "update", "overflow", "epoch"):
        assert curve(tmp_path / "parts", kind) == curve(tmp_path / "whole", kind)


def test_a_small_batch_counts_less_in_a_validation(world: Path, tmp_path: Path) -> None:
    """Eleven videos make batches of four, four and three."""
    run(world, tmp_path, VLM, task=f"{OWN}:Counting", fairseq__optimization__max_epoch=1)
    (valid,) = curve(tmp_path, "valid")
    parts = [value for name, value in valid.items() if name not in ("kind", "epoch", "update", "loss")]
    assert parts and parts == [pytest.approx((4 * 4 + 4 * 4 + 3 * 3) / 11)] * len(parts)


def test_the_device_is_waited_for_once_an_update(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def spy(values: Sequence[Mapping[str, torch.Tensor]]) -> list[dict[str, float]]:
        sizes.append(len(values))
        assert not any(value.requires_grad for named in values for value in named.values())
        return read(values)

    monkeypatch.setattr("mmpt.training.loop.read", spy)
    run(world, tmp_path, fairseq__optimization__update_freq=[2], fairseq__dataset__disable_validation=True)
    assert sizes == [3, 3, 2] * 2, "the losses of all batches, and the gradient's length"


def test_without_a_terminal_lines_tell_how_far_it_is(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run(world, tmp_path / "a", fairseq__common__log_interval=3)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("update") and "pairs/s" in line]
    assert [line.partition(": loss")[0] for line in told] == [
        "update 3, epoch 1/2, 2 to go in it",
        "update 6, epoch 2/2, 4 to go in it",
        "update 9, epoch 2/2, 1 to go in it",
    ]
    monkeypatch.setattr("mmpt.cli.training_display.PAUSE", -1.0)
    run(world, tmp_path / "b")
    told = capsys.readouterr().out
    assert told.count("to go in it: loss") == 10 and "embedding videos: 11 of 11" in told
