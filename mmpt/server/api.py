"""The routes of the API that look into a library."""

import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from mmpt.search.query import Results
from mmpt.search.records import Caption, Moment, VideoRecord
from mmpt.server import asking, metrics
from mmpt.server.errors import ProblemError, answers
from mmpt.server.hall import Hall, client, hall
from mmpt.server.pictures import PictureError
from mmpt.server.schemas import (
    Curve,
    CurveAsked,
    FoundMoment,
    Health,
    Library,
    ListAsked,
    Said,
    SearchAsked,
    SearchResult,
    Seconds,
    Video,
    VideoDetails,
    VideoId,
    VideoList,
    Width,
)
from mmpt.server.streaming import TYPES, VideoResponse, conditional
from mmpt.server.subtitles import webvtt
from mmpt.utils.content import file_stamp

KEEP = "private, max-age=604800, immutable"  # a video's id is its content, so its pictures never change
ORDERS: dict[str, Callable[[VideoRecord], Any]] = {
    "path": lambda record: record.path,
    "added": lambda record: -record.added,
    "seconds": lambda record: -record.seconds,
}

logger = logging.getLogger(__name__)


def given_once(request: Request) -> None:
    """Refuse a query parameter that is given twice, since one of the values would be ignored."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    twice = [name[:100] for name, count in counts.items() if count > 1]
    if twice:
        raise ProblemError(422, f"given more than once: {', '.join(twice[:5])}", "give each parameter once")


router = APIRouter(dependencies=[Depends(given_once)])
HallOf = Annotated[Hall, Depends(hall)]
Result = TypeVar("Result")


async def in_thread(gathering: Hall, work: Callable[[], Result]) -> Result:
    """Do something that reads the library, some at a time."""
    async with gathering.reading.slot():
        return await to_thread.run_sync(work)


@router.get("/api/health", responses=answers(503), summary="Does it run?")
async def health(place: HallOf) -> Health:
    """Answer when the server runs and its library can be read; needs no token."""
    try:
        await in_thread(place, place.snapshot)
    except (OSError, ValueError):
        raise ProblemError(
            503, "the library cannot be read", "run on the server's machine: mmpt library check"
        ) from None
    return Health(status="ok")


@router.get("/api/library", responses=answers(), summary="What is there")
async def library(place: HallOf) -> Library:
    """Say what the library holds and what the server allows."""
    found = await in_thread(place, place.snapshot)
    records = found.videos.values()
    return Library(
        version=found.version,
        videos=len(records),
        windows=sum(record.windows for record in records),
        seconds=sum(record.seconds for record in records),
        captions=sum(record.captions for record in records),
        folders=list(found.folders),
        model=Path(place.library.store.about["model"]["name"]).name if records else "",
        uploads=place.uploads is not None,
        upload_bytes=place.settings.upload_bytes,
        token=place.settings.token is not None,
    )


@router.get("/api/search", responses=answers(404), summary="Find moments")
async def search(place: HallOf, request: Request, asked: Annotated[SearchAsked, Query()]) -> SearchResult:
    """Find the moments that fit words, or a part of a video; no moment means that nothing stands out."""
    place.pace.take(client(request))
    async with place.searching.slot():
        results = await to_thread.run_sync(asking.search, place, asked)
        return await to_thread.run_sync(_as_result, place, results)


@router.get("/api/curve", responses=answers(404), summary="How well each second fits")
async def curve(place: HallOf, request: Request, asked: Annotated[CurveAsked, Query()]) -> Curve:
    """Say second by second how well a video fits words, or a part of a video."""
    place.pace.take(client(request))
    async with place.searching.slot():
        values = await to_thread.run_sync(asking.curve, place, asked)
    return Curve(video=asked.video, values=[round(float(value), 4) for value in np.nan_to_num(values)])


@router.get("/api/videos", responses=answers(), summary="List videos")
async def videos(place: HallOf, asked: Annotated[ListAsked, Query()]) -> VideoList:
    """List the library's videos, some at a time."""

    def choose() -> VideoList:
        accepts = asking.where(asked).accepts
        found = sorted(filter(accepts, place.snapshot().videos.values()), key=ORDERS[asked.sort])
        part = found[asked.offset : asked.offset + asked.limit]
        return VideoList(total=len(found), videos=[Video(**_about(place, record)) for record in part])

    return await in_thread(place, choose)


@router.get("/api/videos/{video_id}", responses=answers(404), summary="Look at a video")
async def video(place: HallOf, video_id: VideoId) -> VideoDetails:
    """Give a video with all that is said in it."""

    def look() -> VideoDetails:
        record = place.record(video_id)
        said = [Said(start=line.start, end=line.end, text=line.text) for line in _said(place, record)]
        return VideoDetails(**_about(place, record), said=said)

    return await in_thread(place, look)


@router.get(
    "/api/videos/{video_id}/thumbnail",
    responses={**answers(404, 409), 200: {"content": {"image/jpeg": {}}}},
    response_class=Response,
    summary="A frame of a video",
)
async def thumbnail(
    place: HallOf,
    request: Request,
    video_id: VideoId,
    second: Annotated[Seconds, Query(description="Of the frame.")] = 0,
    width: Annotated[Width, Query(description="In pixels.")] = Width.MIDDLE,
) -> Response:
    """A frame as a JPEG file."""
    record = await in_thread(place, lambda: place.record(video_id))
    file = await place.open(record)
    try:
        stamp = file_stamp(os.fstat(file))
    finally:
        os.close(file)
    moment = round(min(second, record.seconds), 1)
    try:
        picture = await place.pictures.get(record.id, record.path, stamp, moment, int(width))
    except PictureError as error:
        logger.info("no picture of %s at %g s: %s", record.path, moment, error)
        raise ProblemError(404, f"there is no picture of second {moment:g}", "try another second") from None
    return conditional(request.headers, picture, "image/jpeg", KEEP)


@router.get(
    "/api/videos/{video_id}/stream",
    responses={
        **answers(404, 409, 416),
        200: {"content": {kind: {} for kind in [*dict.fromkeys(TYPES.values()), "application/octet-stream"]}},
        206: {"description": "The part that the Range header asks for."},
        304: {"description": "The client has it already."},
        412: {"description": "The file is not the one that the If-Match header names."},
    },
    response_class=Response,
    summary="A video's file",
)
async def stream(place: HallOf, video_id: VideoId) -> Response:
    """Send a video's file, or the part of it that the header Range asks for."""
    record = await in_thread(place, lambda: place.record(video_id))
    return VideoResponse(record, place.streaming, place.open)


@router.get(
    "/api/videos/{video_id}/captions",
    responses={**answers(404), 200: {"content": {"text/vtt": {}}}},
    response_class=Response,
    summary="A video's captions",
)
async def captions(place: HallOf, request: Request, video_id: VideoId) -> Response:
    """Give a video's captions as a WebVTT file, for players."""
    text = await in_thread(place, lambda: webvtt(_said(place, place.record(video_id))))
    return conditional(request.headers, text.encode(), "text/vtt; charset=utf-8", "private, no-cache")


@router.get(
    "/api/metrics",
    responses={**answers(), 200: {"content": {"text/plain": {}}}},
    response_class=PlainTextResponse,
    summary="Counts and times",
)
async def counts(place: HallOf) -> Response:
    """Give what the server has done, in the text format of Prometheus."""
    found = await in_thread(place, place.snapshot)
    gauges = {
        "mmpt_videos": ("Videos of the library.", float(len(found.videos))),
        "mmpt_windows": ("Windows that are searched.", float(sum(v.windows for v in found.videos.values()))),
        "mmpt_searches_running": ("Searches and curves at work now.", float(place.searching.running)),
        "mmpt_streams_running": ("Videos that are sent now.", float(place.streaming.running)),
    }
    return Response(place.metrics.text(gauges), headers={"Content-Type": metrics.CONTENT_TYPE})


def _about(place: Hall, record: VideoRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "title": shown(place.title(record)),
        "folder": shown(str(Path(record.path).parent)),
        "type": TYPES.get(Path(record.path).suffix.lower(), "application/octet-stream"),
        "seconds": record.seconds,
        "windows": record.windows,
        "captions": record.captions,
        "modified": record.modified,
        "added": record.added,
        "damage": [shown(line) for line in record.damage],
    }


def shown(name: str) -> str:
    """Make text of a file name, whose bytes may be no UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _as_result(place: Hall, results: Results) -> SearchResult:
    return SearchResult(
        moments=[_as_moment(place, results, moment) for moment in results.moments],
        threshold=results.threshold,
        below=None if results.below is None else _as_moment(place, results, results.below),
        match=results.match,
        judged=results.judged,
        searched=results.searched,
        seconds_taken=round(results.seconds_taken, 4),
    )


def _as_moment(place: Hall, results: Results, moment: Moment) -> FoundMoment:
    return FoundMoment(
        video=Video(**_about(place, moment.video)),
        start=moment.start,
        end=moment.end,
        best=moment.best,
        score=round(moment.score, 3),
        seen=None if moment.seen is None else round(moment.seen, 4),
        said=moment.said,
        why=moment.why,
        match=results.is_match(moment),
    )


def _said(place: Hall, record: VideoRecord) -> list[Caption]:
    return place.library.captions(record.id) if record.captions else []
