"""The page: a few files, held in memory, that need no build step and load nothing from elsewhere."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from mmpt.server.errors import ProblemError
from mmpt.server.hall import client, hall
from mmpt.server.security import COOKIE, SESSION_SECONDS, Sessions
from mmpt.server.streaming import conditional

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MAX_FORM = 4096  # bytes
FORM_SECONDS = 10.0  # in which it must come

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Asset:
    """A file of the page.

    Attributes:
        content: its bytes.
        type: media type.
    """

    content: bytes
    type: str


def _read() -> dict[str, Asset]:
    assets = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            assets[path.name] = Asset(path.read_bytes(), TYPES[path.suffix])
    return assets


ASSETS = _read()


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _send("index.html", request)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The page that shows the API."""
    return _send("docs.html", request)


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """The icon, for browsers that ask of themselves."""
    return _send("icon.svg", request)


@router.get("/page/{name}")
async def asset(name: str, request: Request) -> Response:
    """A file of the page."""
    return _send(name, request)


@router.get("/login")
async def login_form(request: Request) -> Response:
    """The form that asks for the token."""
    return _send("login.html", request)


@router.post("/login")
async def login(request: Request) -> Response:
    """Exchange the token for a session cookie, then open what was asked for."""
    place = hall(request)
    given = parse_qs(await _form(request)).get("token", [""])[0].strip()
    query = f"?{request.url.query}" if request.url.query else ""
    answer = RedirectResponse(f"{place.settings.root}/{query}", status_code=303)
    if place.settings.token is None:
        return answer
    sessions = Sessions(place.settings.token)
    if not sessions.knows(given):
        place.wrong_tokens.take(client(request))  # only wrong ones are counted, so that guessing locks nobody out
        return _send("refused.html", request, status=401)
    answer.set_cookie(
        COOKIE,
        sessions.new(),
        max_age=SESSION_SECONDS,
        path=None,  # the browser's default: the folder of this form, whatever path a proxy serves it below
        httponly=True,
        samesite="lax",
        secure=_is_encrypted(request),
    )
    return answer


def _is_encrypted(request: Request) -> bool:
    """True if the browser uses TLS, at least to a proxy; a client that lies about it only loses its own cookie."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (request.url.scheme, forwarded, request.headers.get("origin", "").partition("://")[0])


async def _form(request: Request) -> str:
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_FORM:
                    raise ProblemError(413, "the form is too large", "send the token alone")
    except TimeoutError:
        raise ProblemError(400, f"the form did not come within {FORM_SECONDS:g} s", "send it again") from None
    return body.decode("latin-1")


def _send(name: str, request: Request, *, status: int = 200) -> Response:
    found = ASSETS.get(name)
    if found is None:
        raise ProblemError(404, "the page has no such file", "open / for the page")
    content = found.content
    root_path = hall(request).settings.root_path
    if root_path and name.endswith(".html"):  # right also if the page is opened without a slash after the path
        content = content.replace(b'="./', b'="%s/' % root_path.encode())
    if status != 200:
        return Response(content, status_code=status, media_type=found.type)
    return conditional(request.headers, content, found.type, "no-cache")
