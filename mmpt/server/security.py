"""Who may ask what: hosts, origins, the token, and the headers that keep a browser on its guard."""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmpt.server.errors import ProblemError, unexpected
from mmpt.server.settings import Settings, is_loopback

COOKIE = "mmpt_session"
SESSION_SECONDS = 7 * 24 * 3600
CUSTOM_HEADER = "x-mmpt"  # a page of another origin cannot send it without asking first, and is never allowed to
OPEN = ("/login", "/api/health", "/page/")  # what needs no token: the way in, and "does it run?"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SAME = ("same-origin", "none")  # Sec-Fetch-Site of our own page, and of an address that a person typed

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
        self._key = hashlib.sha256(b"mmpt session\0" + self._token).digest()

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


class Guard:
    """Lets a request through to the application, or answers why not.

    Args:
        app: the application.
        settings: the server's.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._sessions = Sessions(settings.token) if settings.token else None

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
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise ProblemError(
                421,
                f"this server is not called {host[:100]!r}",
                "open it by its address, or start it with --allow-host NAME",
            )
        _check_origin(path, method, host, headers)
        if self._sessions is None or path.startswith(OPEN) or self._is_known(self._sessions, headers):
            return
        if path in ("/", "/docs"):
            query = scope["query_string"].decode("latin-1")  # what was to be opened is opened after the login
            raise ProblemError(
                303, "a token is needed", "log in", {"Location": f"/login?{query}" if query else "/login"}
            )
        raise ProblemError(
            401,
            "a token is needed, or the one sent is wrong",
            "send the header 'Authorization: Bearer TOKEN', or log in at /login",
            {"WWW-Authenticate": "Bearer"},
        )

    def _is_ours(self, host: str) -> bool:
        """An address cannot be made to mean another machine; a name can (DNS rebinding), so names are listed."""
        name = _without_port(host).lower().rstrip(".")
        return name in self._hosts or _is_address(name)

    @staticmethod
    def _is_known(sessions: Sessions, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return sessions.knows(token.strip())
        return sessions.valid(_cookie(headers))


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Give the names that a server answers to; addresses are allowed besides."""
    names = {"localhost", *settings.hosts}
    if not is_loopback(settings.host):
        names |= {settings.host, socket.gethostname()}
    return frozenset(name.lower() for name in names)


def _check_origin(path: str, method: str, host: str, headers: Headers) -> None:
    """Refuse what another site's page asks for: it must neither change anything nor read or burden the library."""
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    ours = site in SAME and (origin is None or origin.partition("://")[2] == host)
    if path.startswith("/api/") and not ours:
        raise ProblemError(403, "another site's page asks for this", "use the server's own page, or no browser")
    if method not in UNSAFE:
        return
    if not ours:
        raise ProblemError(403, "another site's page asks for this", "use the server's own page")
    if path.startswith("/api/") and CUSTOM_HEADER not in headers:
        raise ProblemError(
            403, f"the header {CUSTOM_HEADER} is missing", f"send it, with any value: {CUSTOM_HEADER}: 1"
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""
