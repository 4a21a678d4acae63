"""A tiny world, made by the command, and its features."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmpt.cli.main import main

VIDEOS = 4  # for training; two more are held out
SEED = 3


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's folder: read it only."""
    out = tmp_path_factory.mktemp("toy") / "world"
    assert main(["toy", str(out), "--videos", str(VIDEOS), "--seed", str(SEED), "--workers", "1"]) == 0
    return out


@pytest.fixture(scope="session")
def tiny_features(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One feature file for each video and clip of the world."""
    out = tmp_path_factory.mktemp("features")
    folders = [str(tiny_world / name) for name in ("videos", "heldout", "clips")]
    assert main(["extract", *folders, "-o", str(out), "--backbone", "grid"]) == 0
    return out


@pytest.fixture(scope="session")
def tiny_record(tiny_world: Path) -> dict[str, Any]:
    """What the renderer tells of itself."""
    return json.loads((tiny_world / "record.json").read_text())
