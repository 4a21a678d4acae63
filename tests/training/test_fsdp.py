"""Two processes that divide the weights among themselves do what two with a copy each do."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor
from transformers import BertConfig

from mmpt.config.training import OptimConfig
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.models.original import read_original
from mmpt.training import optim, session
from mmpt.training.checkpoint import STATE, pack, read_state, unpack_moments
from mmpt.training.fsdp import joined, part_of
from mmpt.training.keeping import Keeper
from mmpt.training.optim import MovingAverage, check_optim, make_optimizer
from mmpt.training.processes import Processes
from tests.processes import fork_server
from tests.training.worlds import (
    SIZES,
    VIDEOCLIP,
    VLM,
    WORDS,
    child,
    curve,
    free_port,
    narrated_yaml,
    train,
    train_two,
)

OWN = "tests.training.tasks_of_ones_own"
SHARDED: dict[str, Any] = {"fairseq__optimization__ddp_backend": "fully_sharded"}
PATCH = pytest.MonkeyPatch()  # for processes that end before it is undone
PLENTY: dict[str, Any] = {
    "fairseq__optimization__update_freq": [2],
    "fairseq__optimization__ema_decay": 0.9,
    "fairseq__optimization__clip_norm": 0.5,
    "fairseq__optimization__gradient_checkpointing": True,
    "loss__gather": True,
}
HALF: dict[str, Any] = {"fairseq__common__bf16": True}


def written(folder: Path, world: Path, project: str = VIDEOCLIP, **keys: Any) -> Path:
    folder.mkdir()
    return narrated_yaml(world, folder, project, **keys)


def assert_alike(one: Path, other: Path, *, exact: bool = False, rtol: float = 1e-5) -> None:
    """The numbers of two runs, and the files they leave."""
    rtol, atol = (0.0, 0.0) if exact else (rtol, 1e-6)
    assert curve(one, "update") and curve(one, "valid")
    for kind in ("plan", "update", "overflow", "epoch", "valid"):
        first, second = curve(one, kind), curve(other, kind)
        for line, same in zip(first, second, strict=True):
            assert line.keys() == same.keys()
            numbers, others = ([float(v) for k, v in x.items() if k != "kind"] for x in (line, same))
            np.testing.assert_allclose(numbers, others, rtol=rtol, atol=atol)
    rtol, atol = (0.0, 0.0) if exact else (1e-3, 2e-4)  # Adam moves weights whose gradient is next to nothing
    first, second = (read_original(run / "runs" / "checkpoint_last.pt").state for run in (one, other))
    states = [read_state(run / "runs" / STATE).tensors for run in (one, other)]
    for tensors, same in ((first, second), states):
        assert {key: value.shape for key, value in tensors.items()} == {key: v.shape for key, v in same.items()}
        for name, value in tensors.items():
            np.testing.assert_allclose(same[name], value, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    ("project", "keys"),
    [(VIDEOCLIP, {}), (VIDEOCLIP, PLENTY), (VIDEOCLIP, HALF), (VLM, {"fairseq__dataset__batch_size": 2})],
    ids=["VideoCLIP", "with everything", "bf16", "VLM"],
)
def test_parts_change_no_number(world: Path, tmp_path: Path, project: str, keys: dict[str, Any]) -> None:
    """Batches of two leave out all words or all frames in one process, or in both; and there is an odd one."""
    told = tmp_path / "told"
    assert train_two(written(tmp_path / "copies", world, project, **keys), told) == [0, 0], told.read_text()
    parts = written(tmp_path / "parts", world, project, **SHARDED, **keys)
    assert train_two(parts, told) == [0, 0], told.read_text()
    assert "FSDP" not in told.read_text()
    rtol = 1e-3 if keys is HALF else 1e-5  # a last digit more or less may round a weight up in place of down
    assert_alike(tmp_path / "copies", tmp_path / "parts", rtol=rtol)


def test_a_gradient_of_zeros_is_one(even_world: Path, tmp_path: Path) -> None:
    """It lets moments fade and weights move, unlike the missing gradient of a weight that no batch used."""
    told = tmp_path / "told"
    for name, keys in (("copies", {}), ("parts", SHARDED)):
        path = written(tmp_path / name, even_world, task=f"{OWN}:Vanishing", **keys)
        assert train_two(path, told) == [0, 0], told.read_text()
    assert [line["grad_norm"] == 0 for line in curve(tmp_path / "parts")][:4] == [False, False, True, False]
    assert_alike(tmp_path / "copies", tmp_path / "parts")


def half(words: Sequence[str], told: Path, variables: dict[str, str]) -> None:
    """Train with fp16 on a CPU, for the test only."""
    PATCH.setattr(session, "_precision", lambda optim, processes: (optim, []))
    child(words, told, variables)


def test_what_overflows_in_one_part_is_skipped_in_all(even_world: Path, tmp_path: Path) -> None:
    told, keys = tmp_path / "told", {"task": f"{OWN}:OverflowingSometimes", "fairseq__common__fp16": True}
    keys["fairseq__optimization__max_epoch"] = 5
    for name, more in (("copies", {}), ("parts", SHARDED)):
        path = written(tmp_path / name, even_world, **keys, **more)
        assert train_two(path, told, run=half) == [0, 0], told.read_text()
    skipped, made = (curve(tmp_path / "parts", kind) for kind in ("overflow", "update"))
    assert curve(tmp_path / "copies", "overflow") == skipped
    assert 2 <= len(skipped) == 15 - len(made) and skipped[-1]["scale"] == 65536 / 2 ** len(skipped)
    rounded = [[line["loss"] for line in curve(tmp_path / name)] for name in ("copies", "parts")]
    np.testing.assert_allclose(*rounded, rtol=1e-2)


def traced(words: Sequence[str], told: Path, variables: dict[str, str]) -> None:
    """Train with what torch.compile makes of the model before it turns it into C++, which takes a minute."""
    compile_model = MMPTPreTrainedModel.compile
    PATCH.setattr(MMPTPreTrainedModel, "compile", lambda self: compile_model(self, backend="aot_eager"))
    child(words, told, variables)


@pytest.mark.slow
def test_compiled_parts_change_no_number(calm_world: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    keys: dict[str, Any] = {"fairseq__optimization__max_update": 3}
    assert train_two(written(tmp_path / "copies", calm_world, **keys), told) == [0, 0], told.read_text()
    parts = written(tmp_path / "parts", calm_world, **SHARDED, **keys, fairseq__optimization__compile=True)
    assert train_two(parts, told, run=traced) == [0, 0], told.read_text()
    assert_alike(tmp_path / "copies", tmp_path / "parts")


def test_one_process_has_nothing_to_divide(world: Path, tmp_path: Path) -> None:
    assert train(written(tmp_path / "a", world)) == 0
    assert train(written(tmp_path / "b", world, **SHARDED)) == 0
    assert_alike(tmp_path / "a", tmp_path / "b", exact=True)


def test_killed_it_goes_on_bit_for_bit_and_otherwise_shared_to_rounding(even_world: Path, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"task": f"{OWN}:Killed", "fairseq__optimization__ema_decay": 0.9}
    told = tmp_path / "told"
    never: dict[str, Any] = {"KILL": "/nowhere"}
    whole = written(tmp_path / "whole", even_world, **SHARDED, **keys)
    assert train_two(whole, told, **never) == [0, 0], told.read_text()
    broken = written(tmp_path / "broken", even_world, **SHARDED, **keys)
    kill = str(tmp_path / "broken" / "runs" / "checkpoint1.pt")
    assert train_two(broken, told, KILL=kill) == [2, -signal.SIGKILL], told.read_text()
    assert "mmpt: error: process 0: another process of this training ended" in told.read_text()
    for name in ("copies", "alone"):
        path = written(tmp_path / name, even_world, **keys, fairseq__optimization__update_freq=[1 + (name == "alone")])
        copytree(tmp_path / "broken" / "runs", tmp_path / name / "runs")
        if name == "copies":
            assert train_two(path, told, **never) == [0, 0], told.read_text()
        else:
            code = fork_server().Process(target=alone, args=(path, never))
            code.start()
            code.join(60)
            assert code.exitcode == 0
        assert_alike(tmp_path / "whole", tmp_path / name)
    assert train_two(broken, told, **never) == [0, 0], told.read_text()
    assert_alike(tmp_path / "whole", tmp_path / "broken", exact=True)


def killed_while_gathering(words: Sequence[str], told: Path, variables: dict[str, str]) -> None:
    """The second process is killed where weights are put together for the first to write."""
    if variables["RANK"] == "1":
        PATCH.setattr(Processes, "gather", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    child(words, told, variables)


def failing_while_writing(words: Sequence[str], told: Path, variables: dict[str, str]) -> None:
    """The first process fails where it writes, for no reason that it knows to tell."""

    def fail(*_: Any) -> None:
        raise RuntimeError("nobody expected this")

    if variables["RANK"] == "0":
        PATCH.setattr(Keeper, "write_state", fail)
    child(words, told, variables)


@pytest.mark.parametrize(
    ("run", "codes", "left"), [(killed_while_gathering, [2, -signal.SIGKILL], 0), (failing_while_writing, [1, 2], 1)]
)
def test_one_that_ends_while_weights_are_kept_ends_the_other(
    even_world: Path, tmp_path: Path, run: Any, codes: list[int], left: int
) -> None:
    told, began = tmp_path / "told", time.monotonic()
    assert train_two(written(tmp_path / "a", even_world, **SHARDED), told, run=run) == codes, told.read_text()
    assert time.monotonic() - began < 60
    assert f"process {left}: another process of this training ended" in told.read_text()


def alone(path: Path, variables: dict[str, str]) -> None:
    os.environ |= {**variables, "RANK": "0"}
    os.environ.pop("WORLD_SIZE", None)
    raise SystemExit(train(path))


def test_what_copies_began_goes_on_in_parts(even_world: Path, tmp_path: Path) -> None:
    told, begun = tmp_path / "told", "fairseq.optimization.max_update=2"
    assert train_two(written(tmp_path / "whole", even_world), told) == [0, 0], told.read_text()
    assert train_two(written(tmp_path / "other", even_world), told, begun) == [0, 0], told.read_text()
    assert train_two(narrated_yaml(even_world, tmp_path / "other", **SHARDED), told) == [0, 0], told.read_text()
    one, other = (np.array([line["loss"] for line in curve(tmp_path / name)]) for name in ("whole", "other"))
    np.testing.assert_allclose(other, one, rtol=1e-5)


def test_a_loss_that_is_no_number_stops_both(even_world: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    path = written(tmp_path / "a", even_world, task=f"{OWN}:Broken", **SHARDED)
    assert train_two(path, told) == [2, 2], told.read_text()
    assert told.read_text().count("mmpt: error: the loss of batch ") == 1
    assert not list((tmp_path / "a" / "runs").glob("*.pt"))


def halved(rank: int, port: int) -> None:
    """What one of two processes keeps, before, in and after a step of the optimizer."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.manual_seed(rank)  # other weights in each: those of the first count
    model = build_model(MMPTConfig(BertConfig(vocab_size=WORDS, **SIZES), num_hidden_video_layers=1)).train()
    count = sum(value.numel() for value in model.parameters())
    first = {name: value.detach().clone() for name, value in model.named_parameters()}
    processes, config = Processes("cpu"), OptimConfig(lr=(0.01,), max_epoch=1)
    assert processes.prepare(model, sharded=True) is model
    optimizer, average = make_optimizer(model, config), MovingAverage(model, 0.5)

    def mine(tensors: Any) -> int:
        return sum(part_of(value).numel() for value in tensors)

    assert all(isinstance(value, DTensor) for value in model.parameters())
    assert mine(model.parameters()) < 0.51 * count
    batch = {
        "caps": torch.full((2, 8), 7),
        "cmasks": torch.arange(8) < torch.tensor([[8], [5]]),
        "vfeats": torch.ones(2, 4, model.config.video_dim) * (1 + rank),
        "vmasks": torch.arange(4) < torch.tensor([[4], [2]]),
    }
    with processes.keep_gradients(model):  # as before the last batch of an update: what adds up is a part as well
        torch.stack([value.sum() for value in model(**batch).values()]).sum().backward()
    assert 0 < mine(value.grad for value in model.parameters() if value.grad is not None) < 0.51 * count
    unused = {
        name for name, value in model.named_parameters() if value.grad is not None and not joined(value.grad).any()
    }
    assert unused, "a pooler has a gradient of zeros"
    processes.drop_unused()
    assert unused == {name for name, value in model.named_parameters() if value.grad is None}
    optimizer.step()
    average.update(model, 100)
    moments = [moment for state in optimizer.state.values() for key, moment in state.items() if key != "step"]
    assert count < sum(value.numel() for value in moments) <= 2 * count and mine(moments) < 0.51 * 2 * count
    assert mine(average.weights.values()) < 0.51 * count

    kept = pack(model, optimizer, average, None)
    whole = processes.gather(kept)
    assert bool(whole) == processes.first and not any(isinstance(value, DTensor) for value in whole.values())
    with processes.whole(model) as plain:
        own = dict(plain.named_parameters())
        assert not any(isinstance(value, DTensor) for value in own.values())
        if processes.first:  # alone, which needs no one else
            assert all(torch.equal(own[name], whole[f"model.{name}"]) for name in first)
            assert all(torch.equal(own[name], first[name]) == (name in unused) for name in first)
            assert isinstance(plain, MMPTPreTrainedModel)
            plain.get_text_features(batch["caps"], batch["cmasks"])
    assert all(value.is_meta for value in own.values()), "nothing stays"

    shared: list[Any] = [whole]
    torch.distributed.broadcast_object_list(shared)
    fresh, other = make_optimizer(model, config), MovingAverage(model, 0.5)
    unpack_moments(shared[0], model, fresh, other)
    again = pack(model, fresh, other, None)
    assert again.keys() == kept.keys()
    assert all(torch.equal(part_of(again[name]), part_of(value)) for name, value in kept.items())
    processes.leave(0)


def test_weights_and_moments_are_halved() -> None:
    port = free_port()
    ranks = [fork_server().Process(target=halved, args=(rank, port)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(100)
    assert [process.exitcode for process in ranks] == [0, 0]


def test_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    config = OptimConfig(lr=(0.1,), max_epoch=1, ddp_backend="fully_shared")
    names = "no_c10d, c10d, pytorch_ddp, legacy_ddp, slow_mo or fully_sharded"
    with pytest.raises(ValueError, match=f"ddp_backend is 'fully_shared'; it takes {names}"):
        check_optim(config)
    for name in (None, "no_c10d", "c10d", "pytorch_ddp", "legacy_ddp", "slow_mo", "fully_sharded"):
        check_optim(OptimConfig(lr=(0.1,), max_epoch=1, ddp_backend=name))
    monkeypatch.setattr(optim, "SUPPORTED", False)
    with pytest.raises(ValueError, match="ddp_backend fully_sharded needs a newer torch than"):
        check_optim(OptimConfig(lr=(0.1,), max_epoch=1, ddp_backend="fully_sharded"))
