"""An application behind a socket, until it is told to stop."""

import signal
import socket
from typing import Any

from mmpt.utils.optional import require

GRACE = 3  # seconds that answers under way have when the server is stopped
CONNECTIONS = 256  # at a time


def check_installed() -> None:
    """Refuse early where the libraries of a server are missing.

    Raises:
        ModuleNotFoundError: says what gets them.
    """
    for module in ("fastapi", "uvicorn"):
        require(module, extra="serve")


def serve(app: Any, listener: socket.socket, *, verbose: bool) -> None:
    """Answer until the process is told to stop, by Ctrl+C or SIGTERM; what is under way has a little time to end.

    Args:
        app: the application.
        listener: a socket that listens.
        verbose: tell of each request, which shows what people search for.
    """
    uvicorn = require("uvicorn", extra="serve")
    config = uvicorn.Config(
        app,
        log_config=None,  # as the program's other messages, on stderr
        log_level="info" if verbose else "warning",
        access_log=verbose,
        server_header=False,
        proxy_headers=False,  # a client must not choose the address that it is counted under
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=CONNECTIONS,
        ws="none",
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops at it, and then sends it once more
    uvicorn.Server(config).run(sockets=[listener])
