"""Libraries in object stores: what LanceDB takes passes through, and what the store says is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmpt.search.store import Store
from tests.search.entries import about_store, random_entry
from tests.search.test_store import same

NO_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>There is no such bucket</Message></Error>"


class Refusing(BaseHTTPRequestHandler):
    """Says to each request that there is no such bucket."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", str(len(NO_BUCKET)))
        self.end_headers()
        self.wfile.write(NO_BUCKET)

    do_HEAD = do_PUT = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""


@contextmanager
def object_store(*, answers: bool) -> Iterator[int]:
    """Gives the port of a server that refuses, or of none."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        if not answers:
            server.server_close()
        else:
            thread.start()
        yield port
        if answers:
            server.shutdown()


def test_an_address_of_an_object_store_passes_through(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/bucket/library"  # LanceDB takes it by the way of s3:// and the like
    with pytest.raises(FileNotFoundError, match="there is no library"):
        Store.open(address)
    store = Store.create(address, about_store())
    store.put_many([random_entry(1)])
    assert store.folder is None
    same(Store.open(address), random_entry(1))
    assert [hit[0] for hit in store.full_text("pancake", 5)] == [random_entry(1).record.id] * 2


@pytest.mark.parametrize(("answers", "told"), [(False, "Connection refused"), (True, "There is no such bucket")])
def test_what_an_object_store_says_is_told_in_its_own_words(
    answers: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
    with object_store(answers=answers) as port:
        for name, value in {**keys, "AWS_ENDPOINT": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        for work in (Store.open, lambda address: Store.create(address, about_store())):
            with pytest.raises(OSError, match=f"s3://nobody/films cannot be reached.*keys.*({told})") as refused:
                work("s3://nobody/films")
            assert len(str(refused.value)) < 300
