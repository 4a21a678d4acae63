"""What a server may do, and how much of it at a time."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

LOOPBACK_NAMES = ("localhost",)
MIN_TOKEN = 12  # characters; a shorter one can be guessed
GIB = 1 << 30


@dataclass(frozen=True)
class Settings:
    """The choices of a server.

    Attributes:
        host: the address that it listens on.
        port: the port; 0 lets the system choose.
        token: what a client must know, or None on an address that only this machine reaches.
        hosts: names that a browser may call the server by, besides localhost, addresses and this machine's name.
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
    uploads: Path | None = None
    upload_bytes: int = 2 * GIB
    upload_seconds: float = 3600
    upload_memory: int = 8 * GIB
    searches: int = 2
    decoders: int = 2
    streams: int = 32
    per_second: float = 10
    burst: int = 40

    def check(self) -> None:
        """Refuse what would be unsafe.

        Raises:
            ValueError: other machines could reach the server and it has no token, or the token is too short.
        """
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
