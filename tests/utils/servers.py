"""A small HTTP server for tests, with the faults that real ones have."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What a server offers, and what it was asked.

    Attributes:
        files: path -> content.
        headers: sent with every file, for example ETag.
        ranges: whether parts can be asked for.
        cuts: bytes after which the next answers' connections are cut; each is used once.
        statuses: sent instead of a file by the next answers, 200 for the file; each is used once.
        asked: (path, Range header) of every request.
        redirects: path -> address.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    say_length: bool = True
    if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, asked = self.site, self.headers.get("Range")
        site.asked.append((self.path, asked))
        if site.statuses and (status := site.statuses.pop(0)) != 200:
            return self._say(status)
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            return self.end_headers()
        if self.path not in site.files:
            return self._say(404)
        content = site.files[self.path]
        validators = (site.headers.get("ETag"), site.headers.get("Last-Modified"))
        fresh = not site.if_range or self.headers.get("If-Range") in (None, *validators)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and site.ranges and fresh else None
        if begin is not None and begin >= len(content):
            return self._say(416)
        self.send_response(200 if begin is None else 206)
        body = content[begin or 0 :]
        if begin is not None:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self._send(body)

    def _send(self, body: bytes) -> None:
        for name, value in self.site.headers.items():
            self.send_header(name, value)
        if self.site.say_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            if self.site.cuts:
                self.wfile.write(body[: self.site.cuts.pop(0)])
                self.wfile.flush()
                self.connection.close()
            else:
                self.wfile.write(body)

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@contextlib.contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Run a server on a free port of this machine.

    Args:
        site: what it offers; may be changed while it runs.

    Yields:
        The same site, with its `url`.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
