"""What a server may do, and how much of it at a time."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

LOOPBACK_NAMES = ("localhost",)
MIN_TOKEN = 12  # characters; a shorter one can be guessed
GIB = 1 << 30
HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
ROOT_PATH = re.compile(
    r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+"
)  # characters that need no quoting in HTML, URLs or headers
OWN_PATHS = ("api", "docs", "favicon.ico", "login", "page")  # first segments of the server's own addresses


@dataclass(frozen=True)
class Settings:
    """The choices of a server.

    Attributes:
        host: the address that it listens on.
        port: the port; 0 lets the system choose.
        token: what a client must know, or None on an address that only this machine reaches.
        hosts: names that a browser may call the server by, besides localhost, addresses and this machine's name.
        root_path: the path below which a proxy serves the page, such as /videos; empty if there is none, or if the
            proxy strips it.
        uploads: the folder for uploaded videos, or None where uploading is off.
        upload_bytes: the largest upload.
        upload_seconds: the longest that an upload's decoding and encoding may take, in seconds of wall time.
        upload_memory: bytes of memory that the process that decodes an upload may take.
        searches: how many searches and curves run at a time.
        decoders: how many processes make thumbnails.
        streams: how many videos are sent at a time.
        per_second: searches and curves that one client may ask for a second, over time.
        burst: and at once, after a pause.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    hosts: tuple[str, ...] = ()
    root_path: str = ""
    uploads: Path | None = None
    upload_bytes: int = 2 * GIB
    upload_seconds: float = 3600
    upload_memory: int = 8 * GIB
    searches: int = 2
    decoders: int = 2
    streams: int = 32
    per_second: float = 10
    burst: int = 40

    @property
    def root(self) -> str:
        """The prefix of the page's addresses: the root path, or "." for the folder of the page itself."""
        return self.root_path or "."

    def check(self) -> None:
        """Refuse unsafe settings.

        Raises:
            ValueError: other machines could reach the server and it has no token, the token is too short, or a name or
                the root path is not well-formed.
        """
        for name in self.hosts:
            ascii_name(name)
        if self.root_path and not ROOT_PATH.fullmatch(self.root_path):
            raise ValueError(
                f"the root path is {self.root_path!r}; use a path such as /videos, without a host, of ASCII letters, "
                "digits and . _ ~ -"
            )
        if self.root_path and self.root_path.split("/")[1] in OWN_PATHS:
            raise ValueError(
                f"the root path is {self.root_path}, which the server's own addresses begin with; choose another, or "
                "have the proxy strip it and leave the root path out"
            )
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise ValueError(
                f"the token has {len(self.token)} characters, and at least {MIN_TOKEN} are needed; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(24))"'
            )
        if self.token is not None and (not self.token.isascii() or not self.token.isprintable() or " " in self.token):
            raise ValueError(
                "the token holds spaces or signs that no HTTP header carries; use ASCII letters and digits"
            )
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"on {self.host} other machines reach the server, so it needs a token; set one and start again: "
                'export MMPT_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe(24))")'
            )


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def ascii_name(name: str) -> str:
    """A host name as browsers send it: in lower case, without the final dot, international names as xn--.

    Raises:
        ValueError: it is not a host name or an address.
    """
    try:
        sent = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        sent = ""
    try:
        return str(ipaddress.ip_address(sent.strip("[]")))
    except ValueError:
        pass
    if not HOST_NAME.fullmatch(sent):
        raise ValueError(
            f"{name!r} is not the name of a host; use a name such as videos.example.org, without http://, port or path"
        )
    return sent.lower().removesuffix(".")
