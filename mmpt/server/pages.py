"""The page: a few files, held in memory, that need no build step and load nothing from elsewhere."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from mmpt.server.errors import ProblemError
from mmpt.server.hall import client, hall
from mmpt.server.security import COOKIE, SESSION_SECONDS, Sessions

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
        tag: for browsers that have it already.
    """

    content: bytes
    type: str
    tag: str


def _read() -> dict[str, Asset]:
    assets = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            assets[path.name] = Asset(content, TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
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
    """Take the token, and give a cookie that stands for it; what was to be opened is opened then."""
    place = hall(request)
    place.knocking.take(client(request))
    given = parse_qs(await _form(request)).get("token", [""])[0].strip()
    query = f"?{request.url.query}" if request.url.query else ""
    if place.settings.token is None:
        return RedirectResponse(f"/{query}", status_code=303)
    sessions = Sessions(place.settings.token)
    if not sessions.knows(given):
        return _send("refused.html", request, status=401)
    answer = RedirectResponse(f"/{query}", status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, sessions.new(), max_age=SESSION_SECONDS, path="/", httponly=True, samesite="lax", secure=secure
    )
    return answer


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
    headers = {"Cache-Control": "no-cache", "ETag": found.tag}
    if status == 200 and request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, status_code=status, media_type=found.type, headers=headers)
