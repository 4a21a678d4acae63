"""The trackers that a file may name, where they are installed: W&B offline, trackio on this machine."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.worlds import narrated_yaml


def train_apart(config: Path, **environment: str) -> str:
    """Train in a process of its own, as these libraries read the environment when they are imported."""
    command = [sys.executable, "-m", "mmpt", "train", str(config)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=config.parent, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_weights_and_biases_takes_the_numbers(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs pip install wandb")
    config = narrated_yaml(world, tmp_path, fairseq__common__wandb_project="mine")
    told = train_apart(config, WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    assert "epoch/loss" in told  # its summary of the run
    kept = list(tmp_path.rglob("*.wandb"))
    assert len(kept) == 1 and kept[0].stat().st_size > 1000


def test_trackio_takes_the_numbers(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="needs pip install trackio")
    config = narrated_yaml(world, tmp_path, fairseq__common__trackio_project="mine")
    train_apart(config, TRACKIO_DIR=str(tmp_path / "kept"))
    with sqlite3.connect(tmp_path / "kept" / "mine.db") as base:
        rows = [str(text) for (text,) in base.execute("select metrics from metrics")]
    assert any("valid/loss" in row for row in rows) and any("epoch/loss" in row for row in rows)
