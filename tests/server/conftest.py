"""What tests of the server share: a library with a hostile caption, and clients of its application."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from mmpt.models.scorer import Scorer, load
from mmpt.search.library import VideoLibrary
from mmpt.server.app import build_app
from mmpt.server.settings import Settings
from tests.search.making import make_grid_model, make_videos, subtitles

# Written as a subtitle file must write it; in what a library keeps, it is markup.
ESCAPED = "&lt;img src=x onerror=&quot;document.body.id='pwned'&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
MARKUP = "<img src=x onerror=\"document.body.id='pwned'\"><script>alert(1)</script>"
NAMED = '<b onclick="x">&amp;.mp4'  # a file's name is as hostile as a caption
Client = Callable[..., TestClient]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMPT_CACHE", str(tmp_path_factory.mktemp("server-cache")))
        patch.delenv("MMPT_LIBRARY", raising=False)
        patch.delenv("MMPT_TOKEN", raising=False)
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model over grid features."""
    return make_grid_model(tmp_path_factory.mktemp("server-model"))


@pytest.fixture(scope="session")
def scorer(model: Path) -> Scorer:
    """The same, loaded."""
    return load(model)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered videos; one has markup in its name and in what is said in it."""
    folder = make_videos(tmp_path_factory.mktemp("server-videos"))
    (folder / "garden" / "dog.mp4").rename(folder / "garden" / NAMED)
    (folder / "garden" / NAMED).with_suffix(".srt").write_text(subtitles([f"A carrot {ESCAPED}"]))
    return folder


@pytest.fixture(scope="session")
def shared_library(scorer: Scorer, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a library of them; not to be changed."""
    folder = tmp_path_factory.mktemp("server-library") / "library"
    report = VideoLibrary(folder, scorer).add([videos])
    assert not report.failed and len(report.added) == 3, report
    return folder


@pytest.fixture
def own_library(shared_library: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(shared_library, tmp_path / "library"))


@pytest.fixture
def serve(shared_library: Path, scorer: Scorer) -> Iterator[Client]:
    """Gives clients of an application of a library: serve(folder, token=..., ...)."""
    opened: list[TestClient] = []

    def start(folder: Path = shared_library, opening: dict | None = None, **settings) -> TestClient:
        library = VideoLibrary(folder, scorer)
        app = build_app(library, Settings(**{"per_second": 1000.0, "burst": 1000, **settings}), opening)
        client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5000))
        opened.append(client.__enter__())
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Client) -> TestClient:
    """A client of the shared library."""
    return serve()


@pytest.fixture(scope="module")
def site(shared_library: Path, scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running server: its address, and the folder of its library."""
    folder = tmp_path_factory.mktemp("page") / "library"
    shutil.copytree(shared_library, folder)
    settings = Settings(uploads=folder / "uploads", per_second=1000, burst=1000)
    app = build_app(VideoLibrary(folder, scorer), settings)
    app.state.hall.warm_up()
    with running(app) as address:
        yield address, folder


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Run an application on a port of this machine; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    with closing(listener):
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
