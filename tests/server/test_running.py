"""Connections: one on which nothing happens is ended, and too many are told so."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.server import running
from mmpt.server.app import build_app
from mmpt.server.settings import Settings

ASK = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
Address = tuple[str, int]


@contextmanager
def serving(app: ASGIApp) -> Iterator[Address]:
    """Run an application; gives where it listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=running.Connection, log_level="error", lifespan="off"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    with closing(listener):
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join(20)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few connections and little patience."""
    monkeypatch.setattr(running, "CONNECTIONS", 4)
    monkeypatch.setattr(running, "LOOK", 0.5)


@pytest.fixture
def address(shared_library: Path, scorer: Scorer) -> Iterator[Address]:
    """Where the server of a library listens."""
    with serving(build_app(VideoLibrary(shared_library, scorer), Settings())) as found:
        yield found


def ask(address: Address) -> bytes:
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(ASK)
        return connection.recv(4096)


def test_a_connection_on_which_nothing_is_asked_is_ended(address: Address):
    with socket.create_connection(address, timeout=30) as silent, socket.create_connection(address, timeout=30) as half:
        half.sendall(ASK[:20])
        assert (silent.recv(1), half.recv(1)) == (b"", b"")  # ended, without a word


def test_a_client_that_takes_nothing_of_its_answer_is_hung_up_on():
    gone = threading.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        assert leaving.result()["type"] == "http.disconnect"
        gone.set()

    with serving(endless) as address, socket.create_connection(address, timeout=30) as connection:
        connection.sendall(ASK)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert gone.wait(30)


def test_too_many_connections_are_429_and_the_server_recovers(address: Address):
    assert ask(address).startswith(b"HTTP/1.1 200")
    idle = [socket.create_connection(address, timeout=30) for _ in range(4)]
    time.sleep(0.1)
    answer = ask(address)
    assert answer.startswith(b"HTTP/1.1 429") and b"retry-after: " in answer and b"connection: close" in answer
    until = time.monotonic() + 30
    while not ask(address).startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < until
        time.sleep(0.1)
    for connection in idle:
        connection.close()
