"""Launching: projects, lists, job types, exit codes; the jobs are real ones."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.launch import Job, run_jobs
from mmpt.cli.main import main
from mmpt.utils.featurefile import write_features
from tests.conftest import ROOT
from tests.homes import TINY, make_bert

DATA = """
dataset:
  bert_name: bert
  meta_processor: MSRVTTMetaProcessor
  video_processor: VideoProcessor
  text_processor: MSRVTTTextProcessor
  aligner: DSAligner
  vfeat_dir: feat
  %s: list.csv
  split: %s
model:
  model_cls: MMFusionSeparate
  video_encoder_cls: MMBertForEncoder
  text_encoder_cls: BertModel
fairseq:
  dataset: {batch_size: 2}
"""
TEST = (
    DATA % ("test_path", "test") + "predictor: RetrievalPredictor\nmetric: RetrievalMetric\ntask_type: local_predict\n"
)
TRAIN = DATA % ("val_path", "train") + "loss: {loss_cls: MMContraLoss}\ntask_type: sweep_small\n"
TRAIN = TRAIN.replace("  vfeat_dir", "  train_path: train.csv\n  json_path: captions.json\n  vfeat_dir")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of three videos, one of them without features, and a file for each kind of job."""
    make_bert(tmp_path / "bert", TINY, 60)
    rng = np.random.default_rng(0)
    about = {"backbone": "s3d", "version": "1", "precision": "fp32", "l2_normalized": True}
    (tmp_path / "feat").mkdir()
    for name in ("video1", "video2"):
        write_features(tmp_path / "feat" / f"{name}.npy", rng.normal(size=(5, 512)).astype("float16"), about)
    rows = [f"ret{n},msr{n},video{n},a dog runs" for n in (1, 2, 3)]
    (tmp_path / "list.csv").write_text("key,vid_key,video_id,sentence\n" + "\n".join(rows) + "\n")
    (tmp_path / "train.csv").write_text("video_id\nvideo1\nvideo2\n")
    captions = ", ".join(f'{{"video_id": "video{n}", "caption": "a dog runs", "sen_id": {n}}}' for n in (1, 2))
    (tmp_path / "captions.json").write_text(f'{{"sentences": [{captions}]}}')
    (tmp_path / "test.yaml").write_text(TEST)
    (tmp_path / "train.yaml").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_of_a_task_prints_and_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(home.rglob("*"))
    words = ["launch", "train.yaml,test.yaml", "--jobtype", "local_small", "--dryrun", "dataset.max_len=64"]
    assert main(words) == 0
    spread = "-m mmpt.cli.spread --standalone --nproc-per-node 2"
    assert capsys.readouterr().out.splitlines() == [
        f"launching {sys.executable} {spread} -m mmpt train {name} dataset.max_len=64"
        for name in ("train.yaml", "test.yaml")
    ]
    assert sorted(home.rglob("*")) == before


def test_two_processes_check_a_training_and_the_first_alone_prints(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", "train.yaml", "--jobtype", "local_small", "--check"]) == 0
    printed = capfd.readouterr().out
    assert printed.count("MMFusionSeparate, ") == 1 and printed.count("first batch of train") == 1
    assert "first batch of valid" in printed and "2 x 32 x 512" in printed


def test_a_backbones_name_with_a_slash_is_no_path(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"backbone": "frame_vit/small", "version": "1", "precision": "fp32", "l2_normalized": True}
    for file in (home / "feat").glob("*.npy"):
        write_features(file, np.load(file), about)
    assert main(["train", "train.yaml", "--check", "dataset.backbone=frame_vit/small"]) == 0
    assert "first batch of train" in capsys.readouterr().out
    assert main(["train", "train.yaml", "--check", "dataset.backbone=frame_vit/large"]) == 2
    assert "frame_vit/small" in capsys.readouterr().err, "the name itself is looked at"


def test_the_first_failing_code_of_a_list_and_what_did_not_run(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "bad.yaml").write_text(TEST.replace("list.csv", "no.csv"))
    assert main(["launch", "bad.yaml,test.yaml", "--check"]) == 2
    out, err = capfd.readouterr()
    assert out.startswith("[1/2] launching ") and "first batch" not in out
    assert f"dataset.test_path is no.csv, and nothing is at {home}/no.csv (bad.yaml, line 9)" in err
    assert "mmpt: bad.yaml failed with exit code 2" in err and "mmpt: not run: test.yaml" in err


def test_the_others_run_all_the_same(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "bad.yaml").write_text(TEST.replace("list.csv", "no.csv"))
    assert main(["launch", "bad.yaml,test.yaml", "--check", "--keep-going"]) == 2
    out, err = capfd.readouterr()
    assert "[2/2] launching " in out and "first batch of test" in out and "not run" not in err
    assert "test: without features: video3" in out


def test_a_jobs_own_code_is_given_back(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "captions.json").write_text("{")  # which only reading it finds
    assert run_jobs([Job(Path("train.yaml"), "local_single", check=True)]) == 2
    assert "captions.json" in capfd.readouterr().err


def test_the_code_of_several_processes_is_that_of_the_first_that_failed(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Torchrun's own is 1 for all, behind a traceback of forty lines."""
    (home / "captions.json").write_text("{")
    assert main(["launch", "train.yaml", "--jobtype", "local_small", "--check"]) == 2
    err = capfd.readouterr().err
    assert "captions.json" in err and "Traceback" not in err and "elastic" not in err
    assert err.splitlines()[-1] == "mmpt: train.yaml failed with exit code 2" and len(err.splitlines()) < 6


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_one_process_fails_while_another_runs(tmp_path: Path, end: str, code: int) -> None:
    script = tmp_path / "job.py"
    text = f"import os, signal, sys, time\nif os.environ['RANK'] == '1':\n    {end}\ntime.sleep(60)\n"
    script.write_text(text)
    words = [sys.executable, "-m", "mmpt.cli.spread", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert done.stderr == ("mmpt: process 1 was ended by SIGKILL\n" if code == 137 else "")


def test_a_job_is_asked_to_stop_where_launch_is(home: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    """And is not left running alone."""
    ready = home / "ready"
    script = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
    script += f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    monkeypatch.setattr(Job, "command", (sys.executable, "-c", script))

    def ask() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    before = signal.getsignal(signal.SIGTERM)
    jobs = [Job(Path("train.yaml"), "local_single"), Job(Path("test.yaml"), "local_single")]
    assert run_jobs(jobs, keep_going=True) == 143
    asking.join()
    assert "not run: test.yaml" in capfd.readouterr().err and signal.getsignal(signal.SIGTERM) is before


def test_nothing_runs_when_any_file_is_wrong(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "bad.yaml").write_text(TEST.replace("aligner: DSAligner", "aligner: DSAlinger"))
    assert main(["launch", "test.yaml,bad.yaml", "--check"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and "did you mean 'DSAligner'?" in err and "bad.yaml, line 7" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train.yaml"],
            "train.yaml: task_type is 'sweep_small', a job of a cluster; say how to run it here: --jobtype",
        ),
        (["bare.yaml"], "bare.yaml: there is no task_type; say how to run it here: --jobtype local_single|local_small"),
        (["test.yaml,,train.yaml"], "names no file between two commas"),
        (["no.yaml"], "no.yaml does not exist"),
        (
            ["test.yaml", "dataset.max_len=long"],
            "dataset.max_len is 'long'; it takes int (override dataset.max_len=long)",
        ),
    ],
)
def test_what_cannot_be_launched(home: Path, capsys, words: list[str], message: str) -> None:
    (home / "bare.yaml").write_text(TEST.replace("task_type: local_predict\n", ""))
    assert main(["launch", *words, "--dryrun"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""


PROJECT = """
project_dir: own/mine
base_dir: parts
run_task: [train.yaml, [test.yaml]]
task_group:
  learn:
    task_list: [train.yaml]
    dataset: {max_len: 64}
  test:
    task_list: [test.yaml]
    eval: {save_path: runs/parts/eval}
"""


@pytest.fixture
def own(home: Path) -> Path:
    """A project of one's own, with templates of one's own."""
    (home / "projects" / "parts").mkdir(parents=True)
    (home / "projects" / "own.yaml").write_text(PROJECT)
    for name in ("train.yaml", "test.yaml"):
        shutil.copy(home / name, home / "projects" / "parts" / name)
    return home


def test_the_stages_of_ones_own_project_run_in_order(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "projects/own.yaml", "--jobtype", "local_single", "--check"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("saving", "["))]
    assert lines[:2] == ["saving projects/own/mine/train.yaml", "saving projects/own/mine/test.yaml"]
    assert [line.rpartition(" -m mmpt ")[2] for line in lines[2:]] == [
        "train projects/own/mine/train.yaml --check",
        "evaluate projects/own/mine/test.yaml --check",
    ]
    assert "save_path: runs/own/mine/eval" in (own / "projects/own/mine/test.yaml").read_text()


def test_a_project_whose_jobs_are_for_a_cluster_writes_nothing(own: Path, capsys) -> None:
    assert main(["launch", "projects/own.yaml"]) == 2
    assert "train.yaml: task_type is 'sweep_small'" in capsys.readouterr().err
    assert not (own / "projects" / "own").exists()


def test_overrides_change_the_projects_file(own: Path, capsys) -> None:
    assert main(["launch", "projects/own.yaml", "--dryrun", "project_dir=yours"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "saving projects/yours/train.yaml"


def test_a_project_is_no_task(own: Path, capsys) -> None:
    assert main(["train", "projects/own.yaml", "--check"]) == 2
    assert "is a project of many tasks; write their files: mmpt launch projects/own.yaml" in capsys.readouterr().err


def test_the_tutorials_script(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "projects", tmp_path / "projects")
    words = [sys.executable, str(ROOT / "locallaunch.py"), "projects/mtm/vlm.yaml", "--dryrun"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 14 and done.stderr == ""
    assert len((ROOT / "locallaunch.py").read_text().splitlines()) <= 60
