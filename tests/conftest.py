"""What all tests share: where the recorded numbers and the real data are."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time where a failure must mean a change; new ones on a developer's machine.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        help="folder of numbers recorded from the original, for tests/parity (default: tests/golden)",
    )


def golden_folder(config: pytest.Config) -> Path:
    """The folder to check against: the option's, else tests/golden, else the shared one."""
    chosen = config.getoption("--golden-dir")
    if chosen is not None:
        if not chosen.is_dir():
            raise pytest.UsageError(f"--golden-dir {chosen} is not a folder")
        return chosen.resolve()
    own = ROOT / "tests" / "golden"
    return own if own.is_dir() else SHARED / "golden"


@pytest.fixture(scope="session")
def golden_dir(request: pytest.FixtureRequest) -> Path:
    folder = golden_folder(request.config)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the numbers recorded from the original")
    return folder


@pytest.fixture(scope="session")
def real_videos() -> Path:
    folder = SHARED / "data" / "videos"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the real videos, which are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with small random models at the documented places."""
    from tests.homes import TINY, make_home

    return make_home(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture
def in_tiny_home(tiny_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand in that folder, with a feature cache of one's own."""
    monkeypatch.chdir(tiny_home)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return tiny_home


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered video of two and a half seconds: a bright bar moves over a dark ground."""
    import numpy as np

    from mmpt.video.writer import write_video

    def frames():
        for index in range(75):
            frame = np.full((96, 128, 3), 30, dtype=np.uint8)
            frame[:, index : index + 20] = (220, 180, 40)
            yield frame

    path = tmp_path_factory.mktemp("clip") / "bar.mp4"
    write_video(path, frames(), fps=30)
    return path


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    """A toy world and a VideoCLIP that was trained in it (tests.toyworld.ToyWorld), shared by all processes."""
    from tests.toyworld import shared_toyworld

    base = tmp_path_factory.getbasetemp()
    return shared_toyworld(base.parent if hasattr(request.config, "workerinput") else base)
