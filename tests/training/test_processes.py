"""Several processes, as `mmpt launch` and torchrun start them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.training.worlds import VIDEOCLIP, VLM, curve, free_port, narrated_yaml, train, train_two

SPREAD = [sys.executable, "-m", "torch.distributed.run"]
OWN = "tests.training.tasks_of_ones_own"


def numbers(lines: list[dict], *names: str) -> np.ndarray:
    return np.array([[line[name] for name in names] for line in lines])


@pytest.mark.parametrize(("project", "size"), [(VIDEOCLIP, 1), (VLM, 6)])
def test_two_processes_do_what_one_does(world: Path, tmp_path: Path, project: str, size: int) -> None:
    """Five clusters, or four batches of which one is smaller: what is left over is no less learnt from."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    keys = {"fairseq__dataset__batch_size": size}
    path = narrated_yaml(world, tmp_path / "one", project, fairseq__optimization__update_freq=[2], **keys)
    assert train(path) == 0
    told = tmp_path / "told"
    assert train_two(narrated_yaml(world, tmp_path / "two", project, **keys), told) == [0, 0], told.read_text()
    assert told.read_text().count("starting from the weights") == 1
    for kind, names in (("update", ("update", "loss", "grad_norm", "pairs")), ("valid", ("update", "loss"))):
        one, other = (numbers(curve(tmp_path / name, kind), *names) for name in ("one", "two"))
        assert len(one) >= 2
        np.testing.assert_allclose(other, one, rtol=1e-5)
    assert curve(tmp_path / "one", "plan") == curve(tmp_path / "two", "plan")


def test_gathered_pairs_are_those_of_a_batch_twice_as_large(calm_world: Path, tmp_path: Path) -> None:
    plain = {
        "dataset__meta_processor": "ShardedHow2MetaProcessor",
        "dataset__video_processor": "ShardedVideoProcessor",
        "dataset__text_processor": "ShardedTextProcessor",
        "dataset__aligner": "OverlappedAligner",
        "dataset__num_video_per_batch": None,
        "dataset__clip_per_video": None,
        "task": None,
        "loss__gather": True,
        "fairseq__dataset__batch_sampler": "shuffled",
    }
    for name, size in (("one", 4), ("two", 2)):
        (tmp_path / name).mkdir()
        path = narrated_yaml(calm_world, tmp_path / name, fairseq__dataset__batch_size=size, **plain)
        assert train(path) == 0 if name == "one" else train_two(path, tmp_path / "told") == [0, 0]
    one, other = (numbers(curve(tmp_path / name), "update", "loss", "grad_norm") for name in ("one", "two"))
    assert len(one) == 6
    np.testing.assert_allclose(other, one, rtol=1e-5)


@pytest.mark.parametrize("gather", [False, True])
def test_clusters_of_unequal_size_hang_nobody(even_world: Path, tmp_path: Path, gather: bool) -> None:
    path, told = narrated_yaml(even_world, tmp_path, task=f"{OWN}:Unequal", loss__gather=gather), tmp_path / "told"
    assert train_two(path, told) == [0, 0], told.read_text()
    assert len(curve(tmp_path)) == 6


def test_two_machines(even_world: Path, tmp_path: Path) -> None:
    """Two agents of torchrun meet at an address; data, plans and checkpoints lie on a disk that both see."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert train(narrated_yaml(even_world, tmp_path / "one", fairseq__optimization__update_freq=[2])) == 0
    path = narrated_yaml(even_world, tmp_path / "two")
    meeting = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "mmpt"]
    meeting += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*SPREAD, *meeting, "-m", "mmpt", "train", str(path), "--device", "cpu"]
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as a,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as b,
    ):
        told = [node.communicate(timeout=170)[0] for node in (a, b)]
    assert (a.returncode, b.returncode) == (0, 0), told
    one, other = (numbers(curve(tmp_path / name), "update", "loss") for name in ("one", "two"))
    np.testing.assert_allclose(other, one, rtol=1e-5)


def test_a_killed_process_takes_the_others_along(even_world: Path, tmp_path: Path) -> None:
    path = narrated_yaml(even_world, tmp_path, task=f"{OWN}:Killed")
    began = time.monotonic()
    codes = train_two(path, tmp_path / "told", KILL=str(tmp_path / "runs" / "checkpoint1.pt"))
    assert codes == [2, -signal.SIGKILL] and time.monotonic() - began < 60
    assert "mmpt: error: process 0: another process of this training ended" in (tmp_path / "told").read_text()
    assert [line["epoch"] for line in curve(tmp_path, "valid")] == [1]
    assert train_two(path, tmp_path / "told", KILL="/nowhere") == [0, 0], "what was kept goes on"
    assert [line["epoch"] for line in curve(tmp_path, "valid")] == [1, 2]


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"dataset__train_path": "nowhere.lst"}, "nothing is at"), ({"num_cands": 1}, "num_cands is 1")],
)
def test_what_is_wrong_is_told_once(even_world: Path, tmp_path: Path, keys: dict, message: str) -> None:
    told = tmp_path / "told"
    assert train_two(narrated_yaml(even_world, tmp_path, **keys), told) == [2, 2]
    assert told.read_text().count("mmpt: error: ") == 1 and message in told.read_text()


def test_a_loss_that_is_no_number_stops_both(even_world: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    assert train_two(narrated_yaml(even_world, tmp_path, task=f"{OWN}:Broken"), told) == [2, 2]
    assert told.read_text().count("mmpt: error: the loss of batch ") == 1
    assert list((tmp_path / "runs").glob("nonfinite_epoch1_batch*.safetensors"))
    assert not list((tmp_path / "runs").glob("*.pt"))


def test_one_process_that_is_asked_to_stop_stops_both(even_world: Path, tmp_path: Path) -> None:
    """Both keep what is done after the same update, whichever the signal reaches first."""
    told = tmp_path / "told"
    path = narrated_yaml(even_world, tmp_path, task=f"{OWN}:AskedToStop", fairseq__optimization__max_epoch=9)
    assert train_two(path, told) == [128 + signal.SIGTERM] * 2, told.read_text()
    assert told.read_text().count("mmpt: stopped; what is done is kept") == 1
    done = len(curve(tmp_path))
    assert 4 <= done < 27
    assert train_two(narrated_yaml(even_world, tmp_path, task=f"{OWN}:AskedToStop"), told, "--accept-changes") == [0, 0]


def test_one_process_that_cannot_begin_is_told(even_world: Path, tmp_path: Path) -> None:
    """It says so although the other is ready; a model is shared only when all are."""
    told = tmp_path / "told"
    assert train_two(narrated_yaml(even_world, tmp_path, task=f"{OWN}:HalfReady"), told) == [2, 2], told.read_text()
    assert told.read_text().count("mmpt: error: a file is not on this machine") == 1
    assert "another process" not in told.read_text() and not (tmp_path / "runs").exists()


def test_fewer_processes_end_an_epoch_that_more_began(world: Path, tmp_path: Path) -> None:
    """Of five clusters two processes that gather leave out one; two batches an update do not."""
    told, path = tmp_path / "told", narrated_yaml(world, tmp_path, loss__gather=True)
    assert train(path, "fairseq.optimization.update_freq=[2]", "fairseq.optimization.max_update=2") == 0
    assert train_two(path, told) == [0, 0], told.read_text()
    assert [line["update"] for line in curve(tmp_path)] == [1, 2, 3, 4]
    assert [line["epoch"] for line in curve(tmp_path, "epoch")] == [1, 2]


def test_a_plan_that_fails_in_one_process_is_told(even_world: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    assert train_two(narrated_yaml(even_world, tmp_path, task=f"{OWN}:LostDisk"), told) == [2, 2], told.read_text()
    assert told.read_text().count("mmpt: error: the disk is gone") == 1 and "Traceback" not in told.read_text()
