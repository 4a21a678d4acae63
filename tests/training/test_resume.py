"""A training that is stopped in any way goes on bit for bit."""

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.models.original import read_original
from mmpt.training.checkpoint import STATE, State
from mmpt.training.events import STARTS
from mmpt.training.keeping import Keeper
from tests.training.worlds import VIDEOCLIP, VLM, curve, narrated_yaml, start, train

EVERY: dict[str, Any] = {"fairseq__checkpoint__save_interval_updates": 1, "fairseq__optimization__max_epoch": 4}


def weights(folder: Path, name: str = "checkpoint_best.pt") -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in read_original(folder / "runs" / name).state.items()}


def assert_same_run(one: Path, other: Path) -> None:
    for kind in ("plan", "update", "epoch", "valid"):
        assert curve(one, kind) == curve(other, kind)
    for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
        first, second = weights(one, name), weights(other, name)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("project", [VIDEOCLIP, VLM])
def test_killed_again_and_again(world: Path, tmp_path: Path, project: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    long: dict[str, Any] = {**EVERY, "fairseq__optimization__max_epoch": 16}  # longer than the waits before four kills
    assert train(narrated_yaml(world, whole, project, **long)) == 0
    path = narrated_yaml(world, broken, project, **long)
    rng, kills, updates = np.random.default_rng(0), 0, set()
    while kills < 4:
        process = start(path, tmp_path / "told")
        deadline = time.monotonic() + 60
        log, before = broken / "runs" / "metrics.jsonl", len(updates)
        while time.monotonic() < deadline and process.is_alive():  # let it get a little further than the last time
            if log.exists() and log.read_text().count('"kind": "update"') > before:
                break
            time.sleep(0.005)
        process.join(float(rng.uniform(0, 0.04)))
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills += 1
        updates = {line["update"] for line in curve(broken)}
    assert kills >= 2, f"{process.exitcode}: {(tmp_path / 'told').read_text()}"
    assert train(path) == 0
    assert_same_run(whole, broken)


def test_killed_between_the_first_checkpoint_and_its_state(world: Path, tmp_path: Path, monkeypatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert train(narrated_yaml(world, whole)) == 0
    path, write_state = narrated_yaml(world, broken), Keeper.write_state

    def killed(keeper: Keeper, state: State) -> None:
        if state.progress.updates:
            raise ValueError("killed")
        write_state(keeper, state)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "write_state", killed)
        assert train(path) == 2
    assert (broken / "runs" / "checkpoint_last.pt").exists()
    assert train(path) == 0
    assert_same_run(whole, broken)


def test_asked_to_stop_it_keeps_what_is_done(world: Path, tmp_path: Path, capsys) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    longer: dict[str, Any] = {"fairseq__optimization__max_epoch": 16}
    assert train(narrated_yaml(world, whole, **longer)) == 0
    path = narrated_yaml(world, stopped, **longer)
    process = start(path, tmp_path / "told")
    log = stopped / "runs" / "metrics.jsonl"
    while process.is_alive() and not (log.exists() and '"update": 2' in log.read_text()):
        time.sleep(0.005)
    process.terminate()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    done = len(curve(stopped))
    assert 2 <= done < len(curve(whole))
    assert "the same command goes on from there" in (tmp_path / "told").read_text()
    assert train(path) == 0
    assert f"going on after epoch {done // 5}, update {done}\n" in capsys.readouterr().out
    assert_same_run(whole, stopped)


def test_more_epochs_continue_what_had_ended(world: Path, tmp_path: Path, capsys) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert train(narrated_yaml(world, whole)) == 0
    assert train(narrated_yaml(world, parts, fairseq__optimization__max_update=3)) == 0
    assert len(curve(parts)) == 3
    assert train(narrated_yaml(world, parts)) == 0
    assert curve(parts) == curve(whole)
    told = [b"".join(path.read_bytes() for path in (folder / "runs" / "run").iterdir()) for folder in (whole, parts)]
    assert [text.count(b"\x3a\x02" + STARTS) for text in told] == [0, 1], "TensorBoard forgets what is done again"
    capsys.readouterr()
    assert train(narrated_yaml(world, parts)) == 0
    assert "done: 2 epochs, 10 updates" in capsys.readouterr().out
    assert curve(parts) == curve(whole)


@pytest.mark.parametrize("sampler", ["consecutive", "shuffled", "distinct_videos"])
def test_in_the_midst_of_an_epoch_of_any_batches(world: Path, tmp_path: Path, sampler: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
        path = narrated_yaml(world, folder, VLM, fairseq__dataset__batch_sampler=sampler)
        if folder == parts:
            assert train(path, "fairseq.optimization.max_update=1") == 0
        assert train(path) == 0
    assert curve(whole) == curve(parts)
    first, second = (weights(folder, "checkpoint_last.pt") for folder in (whole, parts))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_other_settings_are_told_by_their_keys(world: Path, tmp_path: Path, capsys) -> None:
    assert train(narrated_yaml(world, tmp_path, fairseq__optimization__max_update=2)) == 0
    before = (tmp_path / "runs" / STATE).read_bytes()
    capsys.readouterr()
    changed = narrated_yaml(world, tmp_path, fairseq__optimization__lr=[0.5], dataset__max_len=23, num_cands=5)
    assert train(changed) == 2
    told = capsys.readouterr().err
    assert "dataset.max_len was 24, and is 23 now" in told and "num_cands was 4, and is 5 now" in told
    assert "fairseq.optimization.lr was [0.002], and is [0.5] now" in told and "--accept-changes" in told
    assert train(changed, "fairseq.dataset.batch_sampler=shuffled") == 2
    assert "batch_sampler was 'consecutive', and is 'shuffled' now" in capsys.readouterr().err
    assert (tmp_path / "runs" / STATE).read_bytes() == before
    assert train(changed, "--accept-changes") == 0
    assert [line["update"] for line in curve(tmp_path)] == list(range(1, 11))


def test_anew(world: Path, tmp_path: Path) -> None:
    assert train(narrated_yaml(world, tmp_path, fairseq__optimization__max_update=3)) == 0
    first = curve(tmp_path)
    assert train(narrated_yaml(world, tmp_path, fairseq__optimization__max_update=2), "--restart") == 0
    assert curve(tmp_path) == first[:2]


def test_a_damaged_state_is_told(world: Path, tmp_path: Path, capsys) -> None:
    path = narrated_yaml(world, tmp_path, fairseq__optimization__max_update=1)
    assert train(path) == 0
    state = tmp_path / "runs" / STATE
    state.write_bytes(state.read_bytes()[:1000])
    assert train(path) == 2
    assert f"{state} is no state that a training of this version can go on from" in capsys.readouterr().err


def test_an_average_may_begin_later(world: Path, tmp_path: Path) -> None:
    path = narrated_yaml(world, tmp_path)
    assert train(path, "fairseq.optimization.max_update=3") == 0
    assert train(path, "fairseq.optimization.ema_decay=0.5", "--accept-changes") == 0
    assert [line["update"] for line in curve(tmp_path)] == list(range(1, 11))


def test_other_data_begin_the_epoch_anew(world: Path, tmp_path: Path, capsys) -> None:
    """The clusters that were kept name videos that the other list may not have."""
    path = narrated_yaml(world, tmp_path)
    assert train(path, "fairseq.optimization.max_update=3") == 0
    assert train(path, "dataset.num_video_per_batch=3", "num_cands=6", "--accept-changes") == 0
    assert "the batches are others now, so that epoch 1 begins anew" in capsys.readouterr().out
    assert [line["epoch"] for line in curve(tmp_path)] == [1] * 6 + [2] * 3


def test_asked_to_stop_while_planning(world: Path, tmp_path: Path) -> None:
    """A plan of a million videos takes long; it is left, and made again."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    own = {"task": "tests.training.tasks_of_ones_own:StoppedWhilePlanning"}
    assert train(narrated_yaml(world, whole, **own)) == 0
    path = narrated_yaml(world, stopped, **own)
    process = start(path, tmp_path / "told", STOP=str(tmp_path))
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM, (tmp_path / "told").read_text()
    assert len(curve(stopped)) == 5 and len(curve(stopped, "plan")) == 1
    assert train(path) == 0
    assert_same_run(whole, stopped)
