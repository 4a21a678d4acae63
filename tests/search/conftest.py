"""What tests of the library share: a tiny model, rendered videos, and a library of both."""

import shutil
from pathlib import Path

import pytest

from mmpt.models.scorer import Scorer, load
from mmpt.search.library import VideoLibrary
from tests.search.making import make_grid_model, make_videos


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """A feature cache of the tests' own, shared by all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMPT_CACHE", str(tmp_path_factory.mktemp("search-cache")))
        patch.delenv("MMPT_LIBRARY", raising=False)
        yield


@pytest.fixture(scope="session")
def grid_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny VideoCLIP over grid features, with random weights."""
    return make_grid_model(tmp_path_factory.mktemp("grid-model"))


@pytest.fixture(scope="session")
def grid_scorer(grid_model: Path) -> Scorer:
    """The same, loaded."""
    return load(grid_model)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the rendered videos of `making.SECONDS`, with subtitles; not to be changed."""
    return make_videos(tmp_path_factory.mktemp("rendered"))


@pytest.fixture
def videos(rendered: Path, tmp_path: Path) -> Path:
    """A copy of them, to be changed."""
    return Path(shutil.copytree(rendered, tmp_path / "videos"))


@pytest.fixture(scope="session")
def built_library(grid_scorer: Scorer, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a library of them; not to be changed."""
    folder = tmp_path_factory.mktemp("built") / "library"
    report = VideoLibrary(folder, grid_scorer).add([rendered])
    assert not report.failed, report.failed
    return folder


@pytest.fixture
def library_folder(built_library: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(built_library, tmp_path / "library"))


@pytest.fixture
def library(library_folder: Path, grid_scorer: Scorer) -> VideoLibrary:
    """A library of `rendered`, to be changed; not its files."""
    return VideoLibrary(library_folder, grid_scorer)


@pytest.fixture
def own(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> VideoLibrary:
    """A library of `videos`, whose files may be changed too."""
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    library.add(videos)
    return library
