"""Errors as JSON that says what is wrong and what to do: {error, detail, hint}."""

import logging
import math
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

logger = logging.getLogger(__name__)

NAMES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    411: "length_required",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_type",
    416: "range_not_satisfiable",
    421: "misdirected",
    422: "invalid",
    429: "busy",
    500: "internal",
    503: "unavailable",
    507: "disk_full",
}


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="A word for programs, such as not_found or busy.")
    detail: str = Field(description="A sentence for people.")
    hint: str = Field(description="What to do next.")


class ProblemError(Exception):
    """An answer other than success.

    Args:
        status: the HTTP status.
        detail: what is wrong, in a sentence.
        hint: what to do next.
        headers: to send along.
    """

    def __init__(self, status: int, detail: str, hint: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Give the answer."""
        problem = Problem(error=NAMES.get(self.status, "error"), detail=self.detail, hint=self.hint)
        headers = {"Cache-Control": "no-store", **self.headers}
        return JSONResponse(problem.model_dump(), status_code=self.status, headers=headers)


class BusyError(ProblemError):
    """Too much at a time.

    Args:
        detail: what there is too much of.
        seconds: when to come again.
    """

    def __init__(self, detail: str, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__(429, detail, f"try again in {wait} s", {"Retry-After": str(wait)})


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors for the OpenAPI schema.

    Args:
        statuses: those that a route gives of its own, besides what every route gives.
    """
    return {status: {"model": Problem} for status in sorted({401, 403, 421, 422, 429, 500, *statuses})}


def install(app: FastAPI) -> None:
    """Let an application answer errors in this form; those that nobody foresaw are the guard's."""

    @app.exception_handler(ProblemError)
    async def told(_: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return ProblemError(422, _faults(error), "see /api/openapi.json for what is allowed").response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(request))
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
        hint = "see /api/openapi.json for what there is"
        return ProblemError(error.status_code, str(error.detail), hint, headers).response()


def _allowed(request: Request) -> list[str]:
    """The methods that the routes of an address allow."""
    routes = request.app.router.routes

    def takes(method: str) -> bool:
        return any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)

    return [*(["GET", "HEAD"] if takes("GET") else []), *(["POST"] if takes("POST") else []), "OPTIONS"]


def unexpected(error: Exception) -> ProblemError:
    """Log an error that nobody foresaw, and give the answer, which says nothing of the machine."""
    logger.error("an unexpected error: %s", error, exc_info=error)
    return ProblemError(500, "something went wrong in the server", "its terminal says what; please report it")


def _faults(error: RequestValidationError) -> str:
    parts = []
    for fault in error.errors()[:5]:
        where = ".".join(str(part) for part in fault["loc"][1:]) or "request"
        parts.append(f"{where}: {fault['msg'][:200]}")
    return "; ".join(parts)
