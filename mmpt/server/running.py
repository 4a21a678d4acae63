"""An application behind a socket, until it is told to stop."""

import asyncio
import signal
import socket
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmpt.server.errors import BusyError

GRACE = 3  # seconds that answers under way have when the server is stopped
CONNECTIONS = 256  # at a time, that are answered; as many more are told that there are too many
LOOK = 15.0  # seconds between looks at a connection; one on which its client did nothing from one to the next is ended


class Connection(H11Protocol):
    """A client's connection, which is ended when it asks nothing or takes nothing of its answer for a while."""

    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a client, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > 2 * CONNECTIONS:
            transport.abort()
            return
        if len(self.connections) > CONNECTIONS:
            self.app = _crowded
        self._watch = self.loop.call_later(LOOK, self._look, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let what is under way end, for a while."""
        super().shutdown()
        self.loop.call_later(GRACE, self.transport.abort)

    def _look(self, before: tuple | None) -> None:
        unsent = self.transport.get_write_buffer_size()
        asks_nothing = self.cycle is None or self.cycle.response_complete
        now = (self.cycle, unsent) if asks_nothing or unsent else None
        if now is not None and now == before:
            self.transport.abort()  # to close would wait until the client takes the rest
        else:
            self._watch = self.loop.call_later(LOOK, self._look, now)


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    answer = BusyError(f"more than {CONNECTIONS} connections are open", LOOK).response()
    answer.headers["Connection"] = "close"
    await answer(scope, receive, send)


def serve(app: Any, listener: socket.socket, *, verbose: bool) -> None:
    """Answer until the process is told to stop, by Ctrl+C or SIGTERM; what is under way has a little time to end.

    Args:
        app: the application.
        listener: a socket that listens.
        verbose: tell of each request, which shows what people search for.
    """
    config = Config(
        app,
        http=Connection,
        log_config=None,  # as the program's other messages, on stderr
        log_level="info" if verbose else "warning",
        access_log=verbose,
        server_header=False,
        proxy_headers=False,  # a client must not choose the address that it is counted under
        timeout_graceful_shutdown=GRACE + 3,  # a stop of last resort, which tells of each task that it cancels
        ws="none",
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops at it, and then sends it once more
    Server(config).run(sockets=[listener])
