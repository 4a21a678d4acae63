"""The application: routes, guards and the page, put together."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmpt import __version__
from mmpt.search.library import VideoLibrary
from mmpt.server import api, errors, pages, upload_api
from mmpt.server.hall import Hall
from mmpt.server.metrics import Metrics
from mmpt.server.security import Guard
from mmpt.server.settings import Settings
from mmpt.server.streaming import HEAD_ONLY

ABOUT = """Search the moments of one's own videos.

Errors are JSON, {error, detail, hint}. 429 says with Retry-After when to come again."""


def build_app(library: VideoLibrary, settings: Settings, opening: Mapping[str, Any] | None = None) -> FastAPI:
    """Make the application of a library.

    Args:
        library: the library.
        settings: what the server may do.
        opening: keyword arguments that the library is opened with, for processes that take in uploads.

    Returns:
        The application, which uvicorn runs.

    Raises:
        ValueError: the settings would be unsafe.
    """
    settings.check()
    place = Hall(library, settings, opening)
    app = FastAPI(
        title="mmpt",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; /docs is our own
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,  # a redirect would name the proxy's address of the server, which browsers cannot reach
        lifespan=_lifespan,
    )
    app.state.hall = place
    errors.install(app)
    app.include_router(api.router)
    if place.uploads is not None:
        app.include_router(upload_api.router)
    app.include_router(pages.router)
    app.openapi = lambda: _schema(app, settings.root_path)  # pyright: ignore[reportAttributeAccessIssue] - FastAPI's way to change it
    app.add_middleware(Guard, settings=settings, wrong_tokens=place.wrong_tokens)
    app.add_middleware(Meter, metrics=place.metrics)  # outside the guard, so that refused requests are counted too
    app.add_middleware(RequestNormalizer, root_path=settings.root_path)  # the outermost
    return app


class RequestNormalizer:
    """Strips the root path, and handles HEAD as GET; the web server leaves out the body.

    Args:
        app: the application.
        root_path: the path below which a proxy serves it; a proxy may keep it in its requests or strip it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path = (
                f"/{scope['path'].lstrip('/')}"  # "//api" is what is left of "/videos/api" where "/videos" becomes "/"
            )
            if path == self._root_path or path.startswith(f"{self._root_path}/"):
                path = f"/{path[len(self._root_path) :].lstrip('/')}"
            head = scope["method"] == "HEAD"
            scope = {**scope, "path": path, "method": "GET" if head else scope["method"], HEAD_ONLY: head}
        await self._app(scope, receive, send)


class Meter:
    """Counts and times requests.

    Args:
        app: the application.
        metrics: where to.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = "HEAD" if scope[HEAD_ONLY] else scope["method"]
                method = method if method in ("GET", "HEAD", "POST") else "other"
                self._metrics.request(method, route, message["status"], time.perf_counter() - begin)
            await send(message)

        await self._app(scope, receive, counted)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    place: Hall = app.state.hall
    if place.uploads is not None:
        await place.uploads.start()
    try:
        yield
    finally:
        if place.uploads is not None:
            await place.uploads.stop()
        await place.pictures.close()


def _schema(app: FastAPI, root_path: str) -> dict:
    """The OpenAPI schema, without the form of errors that FastAPI would give by itself."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for name in ("HTTPValidationError", "ValidationError"):
            schema.get("components", {}).get("schemas", {}).pop(name, None)
        schema["servers"] = [
            {"url": root_path or ".."}
        ]  # relative to the schema's address, so that it is right behind any proxy
        app.openapi_schema = schema
    return app.openapi_schema
