"""`mmpt serve`: a library's API and page."""

import argparse
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.cli.libraries import add_library, add_model, library_address, open_library

if TYPE_CHECKING:
    from mmpt.search.library import VideoLibrary
    from mmpt.server.settings import Settings

EXAMPLES = """examples:
  mmpt serve library/ --open
  mmpt serve library/ --upload
  MMPT_TOKEN=$(cat token.txt) mmpt serve library/ --host 0.0.0.0

The page works without the internet, and so does the API, which /docs describes.
Only this machine reaches the server, unless --host says otherwise; then a token
is asked for. Videos that other processes index show up as they come. Ctrl+C
stops it.
"""
MIB = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("folder", nargs="?", metavar="LIBRARY", help="the library; the same as --library")
    add_library(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port, or 0 for a free one (%(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    safety = parser.add_argument_group("safety, and servers behind a proxy")
    safety.add_argument(
        "--token",
        help="secret that clients must send; $MMPT_TOKEN is safer, since other users can see a command's arguments",
    )
    safety.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that browsers may use for this server",
    )
    safety.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="the path below which a proxy serves this page, if the proxy keeps it in its requests, such as /videos",
    )
    uploads = parser.add_argument_group("uploads")
    uploads.add_argument(
        "--upload",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="take uploads, kept in FOLDER (LIBRARY/uploads)",
    )
    uploads.add_argument("--upload-mib", type=float, default=2048, metavar="N", help="of a video at most (%(default)g)")
    uploads.add_argument(
        "--upload-minutes", type=float, default=60, metavar="N", help="that indexing one may take (%(default)g)"
    )
    uploads.add_argument(
        "--upload-memory-mib", type=float, default=8192, metavar="N", help="that it may take (%(default)g)"
    )
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Returns:
        0.
    """
    if args.folder and args.library and args.folder != args.library:
        raise ValueError(f"the library is given twice, as {args.folder} and as --library {args.library}; leave one out")
    args.library = args.folder or args.library
    from mmpt.cli.console import err, quiet_transformers
    from mmpt.utils.optional import require

    for module in ("fastapi", "uvicorn"):
        require(module, extra="serve")
    settings = make_settings(args)
    library = open_library(args, create=settings.uploads is not None)
    listener = bind(settings.host, settings.port)
    try:
        with err.status("loading the model"), quiet_transformers():
            from mmpt.server.app import build_app

            app = build_app(library, settings, _opening(args))
            app.state.hall.warm_up()
        _serve(args, app, library, listener)
    finally:
        listener.close()
    return 0


def make_settings(args: argparse.Namespace) -> "Settings":
    """Make the server's settings.

    Raises:
        ValueError: they would be unsafe, or a number is out of range.
    """
    from mmpt.server.settings import Settings

    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port is {args.port}; it takes 0 to 65535")
    for name in ("upload_mib", "upload_minutes", "upload_memory_mib"):
        if not getattr(args, name) > 0:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(args, name):g}; it takes a number above 0")
    settings = Settings(
        host=args.host,
        port=args.port,
        token=args.token or os.environ.get("MMPT_TOKEN") or None,
        hosts=tuple(args.allow_host),
        root_path=args.root_path.rstrip("/"),
        uploads=_upload_folder(args),
        upload_bytes=int(args.upload_mib * MIB),
        upload_seconds=args.upload_minutes * 60,
        upload_memory=int(args.upload_memory_mib * MIB),
    )
    settings.check()
    return settings


def bind(host: str, port: int) -> socket.socket:
    """Listen, before anything costly is done.

    Args:
        host: an address or a name.
        port: 0 for a free one.

    Returns:
        The socket.

    Raises:
        ValueError: the address is not this machine's, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}); choose another with --port, or "
            "--port 0 for a free one"
        ) from None


def _serve(args: argparse.Namespace, app: Any, library: "VideoLibrary", listener: socket.socket) -> None:
    from rich.text import Text

    from mmpt.cli.console import err
    from mmpt.server.running import serve

    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    count = len(app.state.hall.snapshot().videos)
    noun = "video" if count == 1 else "videos"
    err.print(Text(f"{library.address}: {count:,} {noun}, at {url}   (Ctrl+C stops)"), soft_wrap=True)
    if args.open:
        import webbrowser

        webbrowser.open(url)
    serve(app, listener, verbose=args.verbose)


def _upload_folder(args: argparse.Namespace) -> Path | None:
    if args.upload is None:
        return None
    if args.upload:
        return Path(os.path.abspath(Path(args.upload).expanduser()))
    address = library_address(args)
    if "://" in address:
        raise ValueError(f"{address} is no folder, so say where uploads are kept: --upload FOLDER")
    return Path(os.path.abspath(Path(address).expanduser())) / "uploads"


def _opening(args: argparse.Namespace) -> dict[str, Any]:
    """What the library was opened with, for processes that open it anew."""
    keys = ("model", "bert_name", "precision", "runtime")
    return {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
