"""The durable tables of a library, in LanceDB: a video is there as a whole or not at all.

What is large is written first: a row of `vectors` and the rows of `captions`, under a revision that nobody has seen
before. The row in `videos` that names the revision comes last, and makes the video part of the library. Readers begin
with `videos`, so that a process that is killed between the two leaves rows that nobody reads; `tidy` takes them away
when they are old. Every write is one commit of LanceDB, which no other process sees in parts.
"""

import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from mmpt.search.records import Caption, VideoRecord
from mmpt.search.store_database import MAX_NAMED, Database, Row, local_folder, one_of
from mmpt.search.store_tables import (
    ABOUT,
    FORMAT,
    SOURCES,
    TABLES,
    VIDEOS,
    Entry,
    Source,
    caption_rows,
    new_revision,
    record_rows,
    to_caption,
    to_record,
    to_vectors,
    to_windows,
    vector_rows,
)
from mmpt.search.store_upkeep import Upkeep
from mmpt.search.words import index_terms, query_words

T = TypeVar("T")

logger = logging.getLogger(__name__)

PORTION = 64 << 20  # bytes of vectors that are read at a time


class CaptionHit(NamedTuple):
    """A found caption: its video's id, its BM25 score, and the terms of all its words."""

    video: str
    caption: Caption
    score: float
    terms: list[str]


class Store(Upkeep):
    """A library's tables. Made by `create` and `open`; safe to share between threads, one for each process.

    Args:
        address: where it lies.
        database: its tables.
        about: what the library is.
        model_place: where its model lies, see `mmpt.search.own_model`; empty if unknown.

    Attributes:
        folder: its folder; None if it is not a folder of this machine.
    """

    def __init__(
        self, address: str, database: Database, about: dict[str, Any], model_place: dict[str, str] | None = None
    ) -> None:
        super().__init__(database)
        self.address = address
        self.folder = local_folder(address)  # resolved now, since the current folder may change
        self.about = about
        self.model_place = model_place or {}
        self._widened, self._words_indexed, self._told = False, False, False
        self._languages: tuple[int, list[str]] = -1, []

    @classmethod
    def create(
        cls, address: str | os.PathLike[str], about: dict[str, Any], model_place: dict[str, str] | None = None
    ) -> "Store":
        """Make an empty library, or open the one that another process made meanwhile.

        Args:
            address: a folder, or another address that LanceDB takes, for example ``"s3://bucket/library"``.
            about: model (name and sha256), backbone, version, l2_normalized, dim, windows.
            model_place: where the model lies.

        Returns:
            The store. Its `about` is that of whoever came first.

        Raises:
            ValueError: nothing can be made there.
        """
        database = Database(address)
        database.make(TABLES)
        Upkeep(database).index_words()
        row = {"about": json.dumps({"format": FORMAT, **about}), "model_place": json.dumps(model_place or {})}
        database.make_with("about", pa.Table.from_pylist([row], schema=ABOUT))  # the last: else there is no library
        return cls.open(address)

    @classmethod
    def open(cls, address: str | os.PathLike[str]) -> "Store":
        """Open a library.

        Args:
            address: as for `create`.

        Returns:
            The store.

        Raises:
            FileNotFoundError: there is no library.
            ValueError: it was made by a version of this program that keeps it otherwise.
        """
        address, folder = os.fspath(address), local_folder(address)
        there = folder is None or folder.exists()  # else LanceDB would make it
        if not there or not (database := Database(address)).has("about"):
            raise FileNotFoundError(
                f"there is no library at {address}; make one with: mmpt index VIDEOS --library {address}"
            )
        rows = database.rows("about")
        about = json.loads(rows[0]["about"]) if rows else {}
        if about.get("format") != FORMAT:
            raise ValueError(
                f"the library at {address} has the format {about.get('format')!r}, and this version of mmpt reads "
                f"{FORMAT!r}; index the videos again into another folder"
            )
        place = rows[0].get("model_place")
        return cls(address, database, about, json.loads(place) if place else {})

    def move_model(self, model_place: dict[str, str]) -> None:
        """Store where the library's model lies now."""
        self._database.widen("about", ABOUT)
        self._database.set("about", {"model_place": json.dumps(model_place)})
        self.model_place = model_place

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.about["dim"]

    def version(self) -> int:
        """Say which state the library is in: the number grows with each commit of any process to its videos."""
        return self._database.version("videos")

    def videos(self) -> dict[str, VideoRecord]:
        """Give the library's videos.

        Returns:
            id -> record, in the order in which they came.
        """
        return {video_id: to_record(row) for video_id, row in self._rows().items()}

    def video(self, video_id: str) -> VideoRecord | None:
        """Give one of the library's videos, at a fraction of the time that `videos` takes; None where it has none."""
        found = self._database.read("videos", "id", [video_id])
        return to_record(max(found, key=lambda row: row["revision"])) if found else None

    def put(
        self,
        record: VideoRecord,
        windows: np.ndarray,
        vectors: np.ndarray,
        tokens: np.ndarray,
        captions: Sequence[Caption],
    ) -> None:
        """Put a video in, or in the place of what the library has of it.

        Args:
            record: the video.
            windows: int32 (W, 2), first second and the second after the last.
            vectors: float16 (W, D), one for each window.
            tokens: float16 (S, D), one for each second.
            captions: what is said in it.

        Raises:
            ValueError: these do not belong together.
        """
        self.put_many([Entry(record, windows, vectors, tokens, list(captions))])

    def put_many(self, entries: Sequence[Entry]) -> None:
        """Put videos in with one commit: all of them or none.

        Args:
            entries: the videos, each once.

        Raises:
            ValueError: an entry's parts do not belong together, or a video stands there twice.
        """
        if not entries:
            return
        for entry in entries:
            entry.check(self.dim)
        ids = [entry.record.id for entry in entries]
        if len(set(ids)) < len(ids):
            raise ValueError("a video is given twice; give each once")
        if not self._has_words():
            self.index_words()
        revisions = [new_revision() for _ in entries]
        self._widen()
        before = self._database.read("videos", "id", ids, ["revision"])
        self._database.append("vectors", vector_rows(entries, revisions))
        self._database.append("captions", caption_rows(entries, revisions))
        rows = record_rows([entry.record for entry in entries], revisions)
        if not before:
            self._database.append("videos", rows)
            return
        self._database.merge("videos", rows, "id")
        self._drop([row["revision"] for row in before])

    def change(self, records: Sequence[VideoRecord]) -> None:
        """Change what the library says of videos: their paths, say, and nothing of their vectors and captions.

        Args:
            records: of videos that the library has; others are left out.
        """
        rows = self._rows()
        known = [record for record in records if record.id in rows]
        revisions = [rows[record.id]["revision"] for record in known]
        if known:  # of the same revision only: another process may have stored the video again
            self._widen()
            self._database.change("videos", record_rows(known, revisions), ["id", "revision"])

    def delete(self, ids: Iterable[str]) -> int:
        """Take videos out.

        Args:
            ids: which; unknown ones are passed over.

        Returns:
            How many were taken out.
        """
        gone = set(ids)
        found = [row for row in self._database.rows("videos", ["id", "revision"]) if row["id"] in gone]
        self._database.drop("videos", "id", names := sorted({row["id"] for row in found}))
        self._drop([row["revision"] for row in found])
        return len(names)

    def vectors(self, ids: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Read videos' windows and vectors, a bounded part at a time.

        Args:
            ids: which videos; all by default.

        Yields:
            id, windows int32 (W, 2) and vectors float16 (W, D), in the order of `videos`. A video that another process
            takes out meanwhile is left out.
        """
        for row, kept in self._settled(ids, self._with_vectors):
            yield row["id"], to_windows(kept["windows"]), to_vectors(kept["vectors"], self.dim)

    def entries(self, ids: Collection[str] | None = None) -> Iterator[Entry]:
        """Read all that is kept of videos, a bounded part at a time.

        Args:
            ids: which videos; all by default.

        Yields:
            Each in one state. A video that another process takes out meanwhile is left out, and one that has lost its
            vectors.
        """
        for _, entry in self._settled(ids, self._with_entries):
            yield entry

    def tokens(self, video_id: str) -> np.ndarray:
        """Read the vectors of a video's seconds.

        Args:
            video_id: the video.

        Returns:
            float16 (S, D).

        Raises:
            ValueError: the library has no such video.
        """
        found = self._of("vectors", video_id, ["tokens"])
        if not found:
            raise ValueError(f"the video {video_id} has lost its vectors; run: mmpt library check --repair")
        return to_vectors(found[0]["tokens"], self.dim)

    def tokens_of(self, ids: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Read the vectors of several videos' seconds, at a fraction of the time that `tokens` takes for each.

        Args:
            ids: the videos.

        Yields:
            id and float16 (S, D), a bounded part at a time. A video that another process takes out, or puts in anew,
            meanwhile is left out.
        """
        for part in self._by_size([row for video_id, row in self._rows().items() if video_id in ids]):
            named = {row["revision"]: row["id"] for row in part}
            for row in self._database.read("vectors", "revision", list(named), ["revision", "tokens"]):
                yield named[row["revision"]], to_vectors(row["tokens"], self.dim)

    def captions(self, video_id: str) -> list[Caption]:
        """Read what is said in a video.

        Args:
            video_id: the video.

        Returns:
            The captions in the order of their file.

        Raises:
            ValueError: the library has no such video.
        """
        found = self._of("captions", video_id, self._caption_columns())
        return [to_caption(row) for row in sorted(found, key=lambda row: row["number"])]

    def languages(self) -> list[str]:
        """Return the language tags that captions have; an empty one for captions whose language is not known."""
        if not self._has_words():
            return [""]
        version = self._database.version("captions")
        if version != self._languages[0]:
            tags = {tag or "" for tag in self._database.distinct("captions", "language")}
            self._languages = version, sorted(tags)
        return self._languages[1]

    def full_text(self, text: str, limit: int, ids: Collection[str] | None = None) -> list[CaptionHit]:
        """Look for words in all captions.

        Args:
            text: plain words; they are found in other forms too.
            limit: how many captions at most.
            ids: only in these videos.

        Returns:
            The captions that have some of the words, best first.
        """
        terms = dict.fromkeys(form for word in query_words(text, self.languages()) for form in word)
        if not terms or limit < 1 or (ids is not None and not ids):
            return []
        column = self._searched_column()
        words = " ".join(terms if column == "words" else [text, *terms])
        current = {row["revision"] for row in self._rows().values() if ids is None or row["id"] in ids}
        where = one_of("id", sorted(ids)) if ids is not None and len(ids) <= MAX_NAMED else None
        count = 2 * limit + 16  # some may be of videos that are not, or no longer, there
        while True:
            found = self._database.find_text("captions", column, words, count, where)
            hits = [row for row in found if row["revision"] in current]
            if len(hits) >= limit or len(found) < count:
                break
            count *= 4
        hits.sort(key=lambda row: (-row["_score"], row["id"], row["number"]))
        return [CaptionHit(row["id"], to_caption(row), float(row["_score"]), _terms(row)) for row in hits[:limit]]

    def sources(self) -> list[Source]:
        """Give what was indexed, and what is not to come back."""
        rows = self._database.rows("sources")
        return sorted((Source(**row) for row in rows), key=lambda source: source.path)

    def remember(self, sources: Iterable[Source]) -> None:
        """Remember what was indexed, so that it can be looked at again; of one path the last that was said.

        Args:
            sources: others than these are kept.
        """
        known = set(self.sources())
        last = {source.path: source for source in sources}.values()
        new = [asdict(source) for source in last if source not in known]
        if new:
            self._database.merge("sources", pa.Table.from_pylist(new, schema=SOURCES), "path")

    def forget(self, paths: Iterable[str]) -> None:
        """Forget that folders or files were indexed."""
        self._database.drop("sources", "path", sorted(paths))

    def _widen(self) -> None:
        """Add missing columns to the video table of a library made by an earlier version."""
        if not self._widened:
            self._database.widen("videos", VIDEOS)
            self._widened = True

    def _of(self, name: str, video_id: str, columns: list[str]) -> list[Row]:
        """A video's rows in a table, all of one revision that is not replaced meanwhile."""
        revision = self._revision(video_id)
        while True:
            found = self._database.read(name, "revision", [revision], columns)
            before, revision = revision, self._revision(video_id)
            if before == revision:
                return found

    def _has_words(self) -> bool:
        """True if captions are indexed by their words; libraries of earlier versions index them by their text."""
        self._words_indexed = self._words_indexed or "words" in self._database.text_indices("captions")
        return self._words_indexed

    def _searched_column(self) -> str:
        if self._has_words():
            return "words"
        if not self._told:
            self._told = True
            logger.warning(
                "the captions of %s were indexed by an earlier version of mmpt, which misses words with accents and in "
                "other scripts; update them with: mmpt index update --library %s",
                *(self.address, self.address),
            )
        return "text"

    def _caption_columns(self) -> list[str]:
        return ["revision", "number", "start", "end", "text", *(["language"] if self._has_words() else [])]

    def _revision(self, video_id: str) -> str:
        found = self._database.read("videos", "id", [video_id], ["revision"])
        if not found:
            raise ValueError(
                f"the library at {self.address} has no video {video_id!r}; see: mmpt library stats --videos"
            )
        return max(row["revision"] for row in found)

    def _settled(
        self, ids: Collection[str] | None, read: Callable[[list[Row]], Iterator[tuple[Row, T | None]]]
    ) -> Iterator[tuple[Row, T]]:
        """Rows of `videos` with what is read of each, where that is there."""
        moved: list[str] = []
        for row, kept in read([row for video_id, row in self._rows().items() if ids is None or video_id in ids]):
            if kept is not None:
                yield row, kept
            else:
                moved.append(row["id"])
        now = self._rows() if moved else {}  # another process has put them in anew, or taken them out
        for row, kept in read([now[video_id] for video_id in moved if video_id in now]):
            if kept is not None:
                yield row, kept

    def _with_entries(self, rows: list[Row]) -> Iterator[tuple[Row, Entry | None]]:
        """Rows of `videos`, each with all that is kept of it; captions first, which are dropped last."""
        columns = ["revision", "windows", "vectors", "tokens"]
        for part in self._by_size(rows):
            said: dict[str, list[Row]] = {row["revision"]: [] for row in part}
            for row in self._database.read("captions", "revision", list(said), self._caption_columns()):
                said[row["revision"]].append(row)
            found = {row["revision"]: row for row in self._database.read("vectors", "revision", list(said), columns)}
            for row in part:
                kept = found.pop(row["revision"], None)
                if kept is None:
                    yield row, None
                    continue
                captions = sorted(said[row["revision"]], key=lambda caption: caption["number"])
                windows, vectors = to_windows(kept["windows"]), to_vectors(kept["vectors"], self.dim)
                tokens = to_vectors(kept["tokens"], self.dim)
                yield row, Entry(to_record(row), windows, vectors, tokens, list(map(to_caption, captions)))

    def _with_vectors(self, rows: list[Row]) -> Iterator[tuple[Row, Row | None]]:
        """Rows of `videos`, each with its row of windows and vectors where there is one; a bounded part at a time."""
        for part in self._by_size(rows):
            revisions, columns = [row["revision"] for row in part], ["revision", "windows", "vectors"]
            found = {row["revision"]: row for row in self._database.read("vectors", "revision", revisions, columns)}
            yield from ((row, found.get(row["revision"])) for row in part)

    def _by_size(self, rows: list[Row]) -> Iterator[list[Row]]:
        part: list[Row] = []
        size = 0
        for row in rows:
            part.append(row)
            size += 2 * self.dim * row["windows"]
            if size > PORTION or len(part) == MAX_NAMED:
                yield part
                part, size = [], 0
        if part:
            yield part


def _terms(row: Row) -> list[str]:
    words = row.get("words")  # missing in libraries of earlier versions
    return index_terms(row["text"]) if words is None else words.split(" ")
