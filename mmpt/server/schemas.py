"""What the API takes and gives."""

import re
from datetime import date
from enum import IntEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

MAX_QUERY = 500  # letters; a caption has about ten words, and the model reads the first 61 word pieces
MAX_MOMENTS = 100
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
Mode = Literal["seen", "said", "both"]
Words = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY, pattern=r"\S")]
VideoId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
UploadId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


def _written_day(value: object) -> object:
    if isinstance(value, str) and not DAY.fullmatch(value):  # else 0 would be a day in 1970
        raise ValueError(f"a day is written as 2026-12-31, not {value[:20]!r}")
    return value


Day = Annotated[date, BeforeValidator(_written_day)]


class Width(IntEnum):
    """Of a thumbnail, in pixels; few, so that pictures can be kept."""

    SMALL = 160
    MIDDLE = 320
    LARGE = 640


class Which(BaseModel):
    """Which videos: by folder, date and length."""

    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(None, max_length=4096, description="Only videos in this folder, or below it.")
    after: Day | None = Field(None, description="Only files last changed on this day or later.")
    before: Day | None = Field(None, description="Only files last changed before this day.")
    min_seconds: Seconds | None = Field(None, description="Only videos of at least this length.")
    max_seconds: Seconds | None = Field(None, description="Only videos of at most this length.")


class WordsOrExample(BaseModel):
    """A query: words, or a part of a video of the library whose like is wanted."""

    model_config = ConfigDict(extra="forbid")

    q: Words | None = Field(None, description="What to look for.")
    like: VideoId | None = Field(None, description="In place of q: a video of the library ...")
    start: Seconds = Field(0, description="... from this second ...")
    end: Seconds | None = Field(None, description="... to this one.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.q is None) == (self.like is None):
            raise ValueError("give either q, what to look for, or like, a video")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end, {self.end:g}, must be later than start, {self.start:g}")
        return self


class SearchAsked(Which, WordsOrExample):
    """A search: by words, or by a part of a video of the library."""

    mode: Mode = Field("both", description="Search what is seen, what is said, or both.")
    limit: int = Field(24, ge=1, le=MAX_MOMENTS, description="How many moments at most.")
    threshold: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)] | Literal["none"] | None = Field(
        None,
        description="The lowest score; 'none' for the closest moments whatever their score; by default the library's.",
    )


class CurveAsked(WordsOrExample):
    """A request for the score curve of one video, by words or by a part of a video."""

    video: VideoId = Field(description="The video whose curve it is.")


class ListAsked(Which):
    """Which videos to list."""

    sort: Literal["path", "added", "seconds"] = Field("path", description="Newest and longest come first.")
    offset: int = Field(0, ge=0, le=10_000_000, description="How many to pass over.")
    limit: int = Field(60, ge=1, le=1000, description="How many at most.")


class Video(BaseModel):
    """A video of the library."""

    id: str = Field(description="The first 16 digits of the SHA-256 of the file.")
    title: str = Field(description="The file's name.")
    folder: str
    type: str = Field(description="Media type, by the file's ending.")
    seconds: int
    windows: int
    captions: int
    modified: float = Field(description="When the file was last changed, Unix time.")
    added: float = Field(description="When it came into the library, Unix time.")
    damage: list[str] = Field(description="What could not be read of the file.")


class Said(BaseModel):
    """A caption."""

    start: float
    end: float
    text: str


class VideoDetails(Video):
    """A video with what is said in it."""

    said: list[Said]


class VideoList(BaseModel):
    """Some of the videos."""

    total: int = Field(description="How many there are, of which this is a part.")
    videos: list[Video]


class FoundMoment(BaseModel):
    """A moment that fits."""

    video: Video
    start: float
    end: float
    best: float = Field(description="The second that fits best, for a player to begin at.")
    score: float = Field(description="How far it stands out, on one scale for all queries.")
    seen: float | None = Field(description="Dot product of the query and what is seen.")
    said: str | None = Field(description="The words that were found.")
    why: Mode
    match: bool | None = Field(
        description="Whether the score reaches the threshold, the library's where none was asked for; null where the "
        "library is too small to judge what is seen."
    )


class SearchResult(BaseModel):
    """What a search found; no moment means that nothing stands out."""

    moments: list[FoundMoment]
    threshold: float | None = Field(description="The least score that was asked for; none, where all were taken.")
    below: FoundMoment | None = Field(description="Where no moment reaches the threshold: the one that comes closest.")
    match: bool | None = Field(description="Whether any moment is a match; null where that cannot be judged.")
    judged: bool = Field(description="Whether the library is large enough to judge what stands out.")
    searched: int = Field(description="How many windows were searched.")
    seconds_taken: float


class Curve(BaseModel):
    """How well each second of a video fits."""

    video: str
    values: list[float] = Field(description="A dot product for each started second.")


class Library(BaseModel):
    """What the library holds, and what this server allows."""

    version: int = Field(description="Changes with the library.")
    videos: int
    windows: int
    seconds: int
    captions: int
    folders: list[str]
    model: str
    uploads: bool
    upload_bytes: int
    token: bool = Field(description="Whether this server asks for a token.")


class UploadState(BaseModel):
    """What becomes of an upload."""

    id: str
    name: str
    size: int
    state: Literal["waiting", "working", "added", "known", "failed"]
    video: str | None
    seconds: int = Field(description="Seconds of the video that are worked through.")
    detail: str


class Health(BaseModel):
    """Whether the server answers."""

    status: Literal["ok"]
