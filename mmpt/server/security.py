"""Who may ask what: hosts, origins, the token, and the headers that keep a browser on its guard."""

import functools
import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmpt.server.errors import ProblemError, unexpected
from mmpt.server.hall import client
from mmpt.server.limits import Pace
from mmpt.server.settings import Settings, ascii_name, is_loopback

COOKIE = "mmpt_session"
SESSION_SECONDS = 7 * 24 * 3600
CUSTOM_HEADER = "x-mmpt"  # a page of another origin cannot send it without asking first, and is never allowed to
OPEN = ("/login", "/api/health", "/page/")  # what needs no token: the way in, and "does it run?"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SAME = ("same-origin", "none")  # Sec-Fetch-Site of our own page, and of an address that a person typed
HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{0,5})?")  # an IPv6 address, or a name or IPv4

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Sessions:
    """Signs what a browser keeps in place of the token, so that the token itself is in no cookie.

    Args:
        token: the server's token.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._key = _session_key(self._token)

    def knows(self, token: str) -> bool:
        """Compare a token, in a time that says nothing about it."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token)

    def new(self, now: float | None = None) -> str:
        """Make the content of a cookie."""
        until = int((time.time() if now is None else now) + SESSION_SECONDS)
        body = f"{until}.{secrets.token_hex(8)}"
        return f"{body}.{self._sign(body)}"

    def valid(self, session: str, now: float | None = None) -> bool:
        """Say whether a cookie's content is one of ours and still holds."""
        body, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), self._sign(body).encode()):
            return False
        return int(body.partition(".")[0]) > (time.time() if now is None else now)

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


@functools.lru_cache
def _session_key(token: bytes) -> bytes:
    """A key that takes time to compute: else made-up sessions would try tokens faster than logins may."""
    return hashlib.scrypt(token, salt=b"mmpt session", n=1 << 14, r=8, p=1)


class Guard:
    """Lets a request through to the application, or answers why not.

    Args:
        app: the application.
        settings: the server's.
        wrong_tokens: how fast one client may send wrong tokens.
    """

    def __init__(self, app: ASGIApp, settings: Settings, wrong_tokens: Pace) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._named = {ascii_name(name) for name in settings.hosts}
        self._root = settings.root
        self._sessions = Sessions(settings.token) if settings.token else None
        self._wrong_tokens = wrong_tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            return

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
        except ProblemError as problem:
            await problem.response()(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            problem = unexpected(error)
            if begun:  # half of the answer is out: only breaking off says that it is none
                raise
            await problem.response()(scope, receive, guarded)

    def _check(self, scope: Scope, headers: Headers) -> None:
        path, method = scope["path"], scope["method"]
        host = self._check_host(headers)
        self._check_origin(path, method, host, headers)
        if self._sessions is None or path.startswith(OPEN) or self._is_known(self._sessions, scope, headers):
            return
        if path in ("/", "/docs"):
            query = scope["query_string"].decode("latin-1")  # what was to be opened is opened after the login
            raise ProblemError(
                303,
                "a token is needed",
                "log in",
                {"Location": f"{self._root}/login?{query}" if query else f"{self._root}/login"},
            )
        raise ProblemError(
            401,
            "a token is needed, or the one sent is wrong",
            "send the header 'Authorization: Bearer TOKEN', or log in at /login",
            {"WWW-Authenticate": "Bearer"},
        )

    def _check_host(self, headers: Headers) -> str:
        """Return the Host header if it names this server; a foreign site can make its name resolve to this machine."""
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if name is None or not (name in self._hosts or _is_somebodys_address(name)):
            raise ProblemError(
                421,
                f"the Host header {', '.join(given)[:100]!r} does not name this server",
                f"open it by its address, or start it with --allow-host {name or 'NAME'}",
            )
        return given[0]

    def _check_origin(self, path: str, method: str, host: str, headers: Headers) -> None:
        """Refuse requests from another site's page: it must neither change anything nor read or burden the library."""
        if not path.startswith("/api/") and method not in UNSAFE:
            return
        if headers.get("sec-fetch-site", "none") not in SAME:
            raise ProblemError(403, "another site's page asks for this", "use the server's own page, or no browser")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            name = _origin_name(origin)
            if name is None:
                raise ProblemError(403, "another site's page asks for this", "use the server's own page")
            if name not in self._named:
                raise ProblemError(
                    403,
                    f"a page of {origin[:100]} asks for this, and the request calls this server {host}",
                    f"if that is this server's own page behind a proxy, start the server with --allow-host {name}, or "
                    "have the proxy keep the Host header (nginx: proxy_set_header Host $http_host;)",
                )
        if method in UNSAFE and path.startswith("/api/") and CUSTOM_HEADER not in headers:
            raise ProblemError(
                403, f"the header {CUSTOM_HEADER} is missing", f"send it, with any value: {CUSTOM_HEADER}: 1"
            )

    def _is_known(self, sessions: Sessions, scope: Scope, headers: Headers) -> bool:
        """True if a request carries the token or a session; the right token passes after any number of wrong ones."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return any(sessions.valid(session) for session in _sessions(headers))
        if sessions.knows(token.strip()):
            return True
        self._wrong_tokens.take(client(Request(scope)))
        return False


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Return the names that a server answers to; addresses are always allowed."""
    names = {"localhost", *map(ascii_name, settings.hosts)}
    if not is_loopback(settings.host):
        names |= {settings.host.lower(), socket.gethostname().lower()}
    return frozenset(names)


def host_name(host: str) -> str | None:
    """The name or address in a Host header, in lower case; None if it holds more than that and a port."""
    match = HOST.fullmatch(host)
    if match is None:
        return None
    address, name = match.groups()
    if address is not None:
        return address.lower() if _is_address(address) else None
    bare = name.lower().removesuffix(".")  # a name may end in the dot of the root domain, an address may not
    return None if _is_address(bare) and name.endswith(".") else bare


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_somebodys_address(name: str) -> bool:
    """True for addresses other than 0.0.0.0 in all its spellings, by which browsers reach this machine."""
    if not _is_address(name):
        return False
    address = ipaddress.ip_address(name)
    return not (getattr(address, "ipv4_mapped", None) or address).is_unspecified


def _origin_name(origin: str) -> str | None:
    scheme, _, host = origin.partition("://")
    return host_name(host) if scheme in ("http", "https") else None


def _sessions(headers: Headers) -> list[str]:
    """All sessions of a request: servers below other paths of the same host use the same cookie name."""
    pairs = (part.strip().partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
    return [value for name, _, value in pairs if name == COOKIE]
