"""The routes of uploads, where they are on."""

import re

from fastapi import APIRouter, Depends, Query, Request, Response

from mmpt.server.api import HallOf, given_once
from mmpt.server.errors import ProblemError, answers
from mmpt.server.hall import client
from mmpt.server.schemas import UploadId, UploadState
from mmpt.server.uploads import Upload, Uploads

router = APIRouter(dependencies=[Depends(given_once)])
OFF = "start the server with --upload, or index on its machine: mmpt index"


@router.post(
    "/api/uploads",
    status_code=202,
    responses=answers(400, 404, 413, 415, 507),
    summary="Add a video",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The video's file as it is: mp4, mov, mkv, webm or avi.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        "parameters": [
            {
                "name": "X-Mmpt",
                "in": "header",
                "required": True,
                "description": "Anything; a page of another site cannot send it.",
                "schema": {"type": "string", "minLength": 1},
            }
        ],
    },
)
async def upload(
    place: HallOf,
    request: Request,
    response: Response,
    name: str = Query("upload", min_length=1, max_length=500, description="The file's name, to be shown."),
) -> UploadState:
    """Receive a video; it is indexed when its turn comes, as its state tells."""
    uploads = _on(place.uploads)
    place.pace.take(client(request))
    length = request.headers.get("content-length")
    announced = int(length) if length is not None and re.fullmatch("[0-9]{1,18}", length) else None
    taken = await uploads.take(name, request.stream(), announced)
    response.headers["Location"] = (
        f"uploads/{taken.id}"  # relative to this address, so that it is right behind any proxy
    )
    return _state(taken)


@router.get("/api/uploads", responses=answers(404), summary="The last uploads")
async def uploads(place: HallOf) -> list[UploadState]:
    """The state of the last uploads, the newest first."""
    return [_state(one) for one in _on(place.uploads).recent()]


@router.get("/api/uploads/{upload_id}", responses=answers(404), summary="An upload")
async def upload_state(place: HallOf, upload_id: UploadId) -> UploadState:
    """Say what becomes of an upload."""
    found = _on(place.uploads).get(upload_id)
    if found is None:
        raise ProblemError(404, "there is no such upload", "GET /api/uploads lists the last ones")
    return _state(found)


def _on(uploads: Uploads | None) -> Uploads:
    if uploads is None:
        raise ProblemError(404, "this server takes no uploads", OFF)
    return uploads


def _state(upload: Upload) -> UploadState:
    return UploadState(**upload.__dict__)
