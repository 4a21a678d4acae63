"""A run's folder: who writes there, what a killed training left, what beginning anew spares."""

import multiprocessing
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from mmpt.config.training import CheckpointConfig
from mmpt.training.checkpoint import STATE, Progress
from mmpt.training.folder import forget, held
from mmpt.training.keeping import Keeper, _all_but, _numbered
from mmpt.training.metrics_log import FILE
from mmpt.utils.files import atomic_path
from mmpt.utils.folderlock import only_writer
from tests.training.worlds import curve, narrated_yaml, start, train

OWN = "tests.training.tasks_of_ones_own"


def test_a_second_training_is_refused_and_a_killed_one_locks_nobody_out(world: Path, tmp_path: Path, capsys) -> None:
    path = narrated_yaml(world, tmp_path, fairseq__optimization__max_epoch=2000)
    first = start(path, tmp_path / "told")
    log = tmp_path / "runs" / FILE
    while first.is_alive() and not (log.exists() and '"update": 2' in log.read_text()):
        time.sleep(0.02)
    done = len(curve(tmp_path))
    assert train(path) == 2
    told = capsys.readouterr().err
    assert f"another process is writing the checkpoints of a training into {tmp_path / 'runs'} right now" in told
    assert first.is_alive() and len(curve(tmp_path)) >= done >= 2, "the first goes on"
    first.kill()
    first.join()
    assert train(path, "fairseq.optimization.max_epoch=1", "--restart") == 0
    assert not (tmp_path / "runs" / ".lock").exists()


def _outlive(ready: str) -> None:
    Path(ready).touch()
    time.sleep(30)


def _hold(folder: Path, ready: Path) -> None:
    with only_writer(folder, "anything"):
        multiprocessing.get_context("fork").Process(target=_outlive, args=(str(ready),)).start()
        while not ready.exists():
            time.sleep(0.01)
        os._exit(0)  # as if it was killed, while what it forked lives


def test_a_forked_process_holds_no_lock(tmp_path: Path) -> None:
    """A worker that reads ahead may outlive its killed parent for seconds."""
    (tmp_path / "runs").mkdir()
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "runs", tmp_path / "ready"))
    holder.start()
    holder.join()
    with only_writer(tmp_path / "runs", "anything"):
        pass


def test_what_a_killed_training_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "runs"
    folder.mkdir(parents=True)
    left = []
    for name in ("checkpoint_last.pt", "checkpoint.best_loss_1.2345.pt", STATE, FILE, "curves.png", "mine.pt"):
        with atomic_path(folder / name) as temporary:
            temporary.write_text("half")
            os.link(temporary, tmp_path / temporary.name)  # what a kill leaves has the name of this moment
        os.link(tmp_path / temporary.name, folder / temporary.name)
        left.append(folder / temporary.name)
    with held(folder):
        pass
    assert [path.exists() for path in left] == [False] * 4 + [True] * 2, "others have their own"
    assert (folder / "checkpoint_last.pt").exists() and (folder / STATE).exists()
    forget(folder)
    assert not (folder / STATE).exists() and not (folder / FILE).exists() and (folder / "checkpoint_last.pt").exists()


def test_a_folder_that_nothing_came_into_is_none(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()


def test_beginning_anew_fails_without_a_loss(world: Path, tmp_path: Path) -> None:
    """What lies there goes only when the new training can begin."""
    path = narrated_yaml(world, tmp_path, fairseq__optimization__max_update=2)
    assert train(path) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "runs").iterdir() if path.is_file()}
    assert train(path, "--restart", f"task={OWN}:TooLarge") == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "runs").iterdir() if path.is_file()} == before


def test_beginning_anew_keeps_its_own_checkpoints(world: Path, tmp_path: Path) -> None:
    """Those of the training before have higher numbers, and are not its own to delete either."""
    keys = {"save_interval_updates": 2, "keep_interval_updates": 1, "keep_last_epochs": 1}
    more: dict[str, Any] = {f"fairseq__checkpoint__{key}": value for key, value in keys.items()}
    path = narrated_yaml(world, tmp_path, **more)
    assert train(path, "fairseq.optimization.max_epoch=3") == 0
    found = {name.name for name in (tmp_path / "runs").glob("checkpoint*[0-9].pt")}
    assert found == {"checkpoint3.pt", "checkpoint_3_14.pt"}
    assert train(path, "fairseq.optimization.max_epoch=2", "--restart") == 0
    anew = {name.name for name in (tmp_path / "runs").glob("checkpoint*[0-9].pt")}
    assert anew == found | {"checkpoint2.pt", "checkpoint_2_8.pt"}


def keeper(**keys) -> Keeper:
    return Keeper(Path("nowhere"), CheckpointConfig(**keys), {})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_is_never_best(value: float) -> None:
    progress, keeping = Progress(), keeper(patience=2)
    assert not keeping.judge(progress, value) and progress.best is None
    assert keeping.judge(progress, 3.0) and keeping.judge(progress, 2.0) and progress.best == 2.0
    assert not keeping.judge(progress, value) and progress.best == 2.0 and not keeping.given_up(progress)
    assert not keeping.judge(progress, value) and keeping.given_up(progress)
    assert not keeper(patience=3).given_up(progress), "more patience goes on"


def test_another_measure_begins_anew() -> None:
    progress = Progress()
    assert keeper().judge(progress, 1.0) and not keeper().judge(progress, 2.0)
    assert keeper(best_checkpoint_metric="t2v").judge(progress, 2.0)
    more = keeper(best_checkpoint_metric="t2v", maximize_best_checkpoint_metric=True)
    assert more.judge(progress, 1.0) and more.judge(progress, 1.5) and not more.judge(progress, 1.0)
    assert progress.worse == 1


def test_which_are_too_many() -> None:
    names = ["checkpoint10.pt", "checkpoint9.pt", "checkpoint_last.pt"]
    found = _numbered(names, re.compile(r"checkpoint(\d+)\.pt"))
    assert found == ["checkpoint9.pt", "checkpoint10.pt"]
    assert [_all_but(found, last) for last in (-1, 0, 1, 2, 3)] == [[], found, found[:1], [], []]
