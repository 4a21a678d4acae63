"""What tests of commands that look at one video second by second share."""

from pathlib import Path

import pytest

from mmpt.video.writer import write_video
from tests.search.making import frames, make_grid_model


@pytest.fixture(scope="session")
def grid_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny VideoCLIP over grid features, with random weights."""
    return make_grid_model(tmp_path_factory.mktemp("grid-model"))


@pytest.fixture(scope="session")
def cooking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered video of 19.6 seconds."""
    path = tmp_path_factory.mktemp("cooking") / "cooking.mp4"
    write_video(path, list(frames(20, seed=0))[:196], fps=10)
    return path


@pytest.fixture
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with a feature cache of its own beside it."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return folder
