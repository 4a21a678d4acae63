"""The tables of a library's store: what their rows hold, and how they become records and arrays."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from mmpt.search.records import Caption, VideoRecord
from mmpt.search.words import index_terms

FORMAT = "mmpt-library-1"
WINDOWS, NUMBERS = np.dtype("<i4"), np.dtype("<f2")

ABOUT = pa.schema([("about", pa.string()), ("model_place", pa.string())])  # the latter not in libraries before 2026-12
SOURCES = pa.schema(
    [
        ("path", pa.string()),
        ("captions", pa.string()),
        ("language", pa.string()),
        ("encoding", pa.string()),
        ("excluded", pa.bool_()),
    ]
)
VIDEOS = pa.schema(
    [
        ("id", pa.string()),
        ("revision", pa.string()),
        ("path", pa.string()),
        ("modified", pa.float64()),
        ("added", pa.float64()),
        ("seconds", pa.int32()),
        ("windows", pa.int32()),
        ("captions", pa.int32()),
        ("damage", pa.list_(pa.string())),
        ("subtitles", pa.string()),
        # not in libraries made before 2026-12; null there until the video is looked at again
        ("stamp", pa.string()),
        ("real_path", pa.string()),
        ("depth", pa.int32()),
        ("copies", pa.list_(pa.string())),
        ("captions_from", pa.string()),
    ]
)
VECTORS = pa.schema(
    [
        ("revision", pa.string()),
        ("windows", pa.large_binary()),
        ("vectors", pa.large_binary()),
        ("tokens", pa.large_binary()),
    ]
)
CAPTIONS = pa.schema(
    [
        ("revision", pa.string()),
        ("id", pa.string()),
        ("number", pa.int32()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("words", pa.string()),  # the terms that the text is found by, with a space between
    ]
)
TABLES = {"sources": SOURCES, "videos": VIDEOS, "vectors": VECTORS, "captions": CAPTIONS}


@dataclass(frozen=True)
class Source:
    """A folder or file that was indexed, and how.

    Attributes:
        path: absolute.
        captions: folder of its subtitle files; empty where they lie beside the videos.
        language: of the subtitles to take where a video has several; empty for none in particular.
        encoding: of subtitle files that are not in UTF-8; empty without one.
        excluded: it was taken out, and is not to come back with the folder that it lies in.
    """

    path: str
    captions: str = ""
    language: str = ""
    encoding: str = ""
    excluded: bool = False


@dataclass(frozen=True, eq=False)
class Entry:
    """A video with all that a library keeps of it.

    Attributes:
        record: the video.
        windows: int32 (W, 2), first second and the second after the last.
        vectors: float16 (W, D), one for each window.
        tokens: float16 (S, D), one for each second.
        captions: what is said in it.
    """

    record: VideoRecord
    windows: np.ndarray
    vectors: np.ndarray
    tokens: np.ndarray
    captions: list[Caption]

    def check(self, dim: int) -> None:
        """Refuse what belongs to no video of this library.

        Args:
            dim: width of the library's vectors.

        Raises:
            ValueError: shapes or types do not fit, a window lies outside the video, or a number is not finite.
        """
        count, seconds, name = self.record.windows, self.record.seconds, self.record.path
        shapes = {"windows": (count, 2), "vectors": (count, dim), "tokens": (seconds, dim)}
        for key, shape in shapes.items():
            array = getattr(self, key)
            kind = np.int32 if key == "windows" else np.float16
            if array.shape != shape or array.dtype != kind:
                wanted = f"{np.dtype(kind).name} {shape}"
                raise ValueError(f"{name}: {key} are {array.dtype} {array.shape}; the library takes {wanted}")
            if key != "windows" and not np.isfinite(array).all():
                raise ValueError(f"{name}: {key} hold numbers that are not finite in float16; index the video again")
        starts, ends = self.windows[:, 0], self.windows[:, 1]
        if not count or (starts < 0).any() or (ends <= starts).any() or (ends > seconds).any():
            raise ValueError(
                f"{name}: a window is empty or lies outside the video's {seconds} seconds, or there is none"
            )
        if len(self.captions) != self.record.captions:
            raise ValueError(
                f"{name}: its record says {self.record.captions} captions; {len(self.captions)} were given"
            )


def new_revision() -> str:
    """Name a state of a video: no other has this name, and later ones sort later.

    Returns:
        The time in nanoseconds and a random part.
    """
    return f"{time.time_ns():020d}-{uuid4().hex[:12]}"


def revision_age(revision: str) -> float:
    """Say how long ago a revision was named, in seconds."""
    return time.time() - int(revision.partition("-")[0]) / 1e9


def record_rows(records: Iterable[VideoRecord], revisions: Iterable[str]) -> pa.Table:
    """Make rows of records, each with its revision."""
    rows = [
        {**record.__dict__, "damage": list(record.damage), "copies": list(record.copies), "revision": revision}
        for record, revision in zip(records, revisions, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=VIDEOS)


def vector_rows(entries: Iterable[Entry], revisions: Iterable[str]) -> pa.Table:
    """Make the rows that hold windows and vectors."""
    rows = [
        {
            "revision": revision,
            "windows": entry.windows.astype(WINDOWS).tobytes(),
            "vectors": entry.vectors.astype(NUMBERS).tobytes(),
            "tokens": entry.tokens.astype(NUMBERS).tobytes(),
        }
        for entry, revision in zip(entries, revisions, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=VECTORS)


def caption_rows(entries: Iterable[Entry], revisions: Iterable[str]) -> pa.Table:
    """Make the rows that hold captions."""
    rows = [
        {
            "revision": revision,
            "id": entry.record.id,
            "number": number,
            "start": caption.start,
            "end": caption.end,
            "text": caption.text,
            "language": caption.language,
            "words": " ".join(index_terms(caption.text, caption.language)),
        }
        for entry, revision in zip(entries, revisions, strict=True)
        for number, caption in enumerate(entry.captions)
    ]
    return pa.Table.from_pylist(rows, schema=CAPTIONS)


def to_record(row: dict[str, Any]) -> VideoRecord:
    """Make a record of a row."""
    values = {key: value for key, value in row.items() if key != "revision" and value is not None}
    lists = {key: tuple(values.get(key, ())) for key in ("damage", "copies")}
    return VideoRecord(**{**values, **lists})


def to_caption(row: dict[str, Any]) -> Caption:
    """Make a caption of a row."""
    return Caption(row["start"], row["end"], row["text"], row.get("language") or "")


def to_windows(raw: bytes) -> np.ndarray:
    """Give windows back, int32 (W, 2)."""
    return np.frombuffer(raw, WINDOWS).astype(np.int32).reshape(-1, 2)


def to_vectors(raw: bytes, dim: int) -> np.ndarray:
    """Give vectors back, float16 (W or S, D)."""
    return np.frombuffer(raw, NUMBERS).astype(np.float16).reshape(-1, dim)
