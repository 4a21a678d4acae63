"""The durable tables of a library, in LanceDB: a video is there as a whole or not at all.

What is large is written first: a row of `vectors` and the rows of `captions`, under a revision that nobody has seen
before. The row in `videos` that names the revision comes last, and makes the video part of the library. Readers begin
with `videos`, so that a process that is killed between the two leaves rows that nobody reads; `tidy` takes them away
when they are old. Every write is one commit of LanceDB, which no other process sees in parts.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmpt.search.records import Caption, VideoRecord
from mmpt.search.store_tables import (
    ABOUT,
    CAPTIONS,
    FORMAT,
    SOURCES,
    VECTORS,
    VIDEOS,
    Entry,
    Source,
    caption_rows,
    new_revision,
    one_of,
    persistent,
    record_rows,
    revision_age,
    to_caption,
    to_record,
    to_vectors,
    to_windows,
    vector_rows,
    video_rows,
)
from mmpt.utils.optional import require

TABLES = {"sources": SOURCES, "videos": VIDEOS, "vectors": VECTORS, "captions": CAPTIONS}
PORTION = 64 << 20  # bytes of vectors that are read at a time
MAX_NAMED = 500  # values that a condition names
ORPHAN_AGE = 3600.0  # seconds after which what no video names is taken for a killed process's
OLD = timedelta(minutes=10)  # versions that readers may still look at
MIN_FRAGMENTS = 64  # commits after which a table is worth compacting; later half its rows, so that copying stays linear


class Store:
    """A library's tables. Made by `create` and `open`; safe to share between threads, one for each process.

    Args:
        address: where it lies.
        database: LanceDB's connection.
        about: what the library is.
    """

    def __init__(self, address: str, database: Any, about: dict[str, Any]) -> None:
        self.address = address
        self.about = about
        self._database = database
        self._tables = {name: database.open_table(name) for name in TABLES}

    @classmethod
    def create(cls, address: str | os.PathLike[str], about: dict[str, Any]) -> "Store":
        """Make an empty library, or open the one that another process made meanwhile.

        Args:
            address: a folder, or another address that LanceDB takes, for example ``"s3://bucket/library"``.
            about: model (name and sha256), backbone, version, l2_normalized, dim, windows.

        Returns:
            The store. Its `about` is that of whoever came first.

        Raises:
            ValueError: nothing can be made there.
        """
        database = _connect(address)
        for name, schema in TABLES.items():
            database.create_table(name, schema=schema, exist_ok=True)
        captions = database.open_table("captions")
        if not captions.list_indices():
            persistent(lambda: captions.create_index("text", config=_full_text()))
        row = pa.Table.from_pylist([{"about": json.dumps({"format": FORMAT, **about})}], schema=ABOUT)
        database.create_table("about", data=row, exist_ok=True)  # the last: without it there is no library
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
        folder = local_folder(address)
        missing = f"there is no library at {os.fspath(address)}; make one with: mmpt index VIDEOS --library {address}"
        if folder is not None and not (folder / "about.lance").is_dir():
            raise FileNotFoundError(missing)
        database = _connect(address)
        try:
            rows = database.open_table("about").to_arrow().to_pylist()
        except (ValueError, FileNotFoundError) as error:
            raise FileNotFoundError(missing) from error
        about = json.loads(rows[0]["about"]) if rows else {}
        if about.get("format") != FORMAT:
            raise ValueError(
                f"the library at {os.fspath(address)} has the format {about.get('format')!r}, and this version of mmpt "
                f"reads {FORMAT!r}; index the videos again into another folder"
            )
        return cls(os.fspath(address), database, about)

    @property
    def folder(self) -> Path | None:
        """The folder it lies in; None where it is no folder of this machine."""
        return local_folder(self.address)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.about["dim"])

    def version(self) -> int:
        """Say which state the library is in.

        Returns:
            A number that grows with each commit of any process that changes which videos there are.
        """
        return self._tables["videos"].version

    def videos(self) -> dict[str, VideoRecord]:
        """Give the library's videos.

        Returns:
            id -> record, in the order in which they came.
        """
        return {video_id: to_record(row) for video_id, row in self._rows().items()}

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
            raise ValueError("a video stands there twice; give each once")
        revisions = [new_revision() for _ in entries]
        before = self._rows()
        self._append("vectors", vector_rows(entries, revisions))
        self._append("captions", caption_rows(entries, revisions))
        rows = video_rows(entries, revisions)
        replaced = [before[video_id]["revision"] for video_id in ids if video_id in before]
        if not replaced:
            self._append("videos", rows)
            return
        merge = self._tables["videos"].merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        persistent(lambda: merge.execute(rows))
        self._drop(replaced)

    def change(self, records: Sequence[VideoRecord]) -> None:
        """Change what the library says of videos: their paths, say, and nothing of their vectors and captions.

        Args:
            records: of videos that the library has; others are left out.
        """
        rows = self._rows()
        known = [record for record in records if record.id in rows]
        if not known:
            return
        revisions = [rows[record.id]["revision"] for record in known]
        same = "target.revision = source.revision"  # another process may have put in the video anew
        merge = self._tables["videos"].merge_insert("id").when_matched_update_all(where=same)
        persistent(lambda: merge.execute(record_rows(known, revisions)))

    def delete(self, ids: Iterable[str]) -> int:
        """Take videos out.

        Args:
            ids: which; unknown ones are passed over.

        Returns:
            How many were taken out.
        """
        rows = self._rows(every=True)
        gone = set(ids)
        found = [row for row in rows.values() if row["id"] in gone]
        for names in _portions(sorted({row["id"] for row in found})):
            persistent(lambda names=names: self._tables["videos"].delete(one_of("id", names)))
        self._drop([row["revision"] for row in found])
        return len({row["id"] for row in found})

    def vectors(self, ids: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Read videos' windows and vectors, a bounded part at a time.

        Args:
            ids: which videos; all by default.

        Yields:
            id, windows int32 (W, 2) and vectors float16 (W, D), in the order of `videos`. A video that another process
            takes out meanwhile is left out.
        """
        rows = [row for video_id, row in self._rows().items() if ids is None or video_id in ids]
        for part in self._by_size(rows):
            found = self._read("vectors", [row["revision"] for row in part], ["revision", "windows", "vectors"])
            by_revision = {row["revision"]: row for row in found}
            for row in part:
                kept = by_revision.get(row["revision"])
                if kept is not None:
                    yield row["id"], to_windows(kept["windows"]), to_vectors(kept["vectors"], self.dim)

    def tokens(self, video_id: str) -> np.ndarray:
        """Read the vectors of a video's seconds.

        Args:
            video_id: the video.

        Returns:
            float16 (S, D).

        Raises:
            ValueError: the library has no such video.
        """
        for _ in range(2):  # another process may put the video in anew in between
            found = self._read("vectors", [self._revision(video_id)], ["tokens"])
            if found:
                return to_vectors(found[0]["tokens"], self.dim)
        raise ValueError(f"the video {video_id} has lost its vectors; run: mmpt library check --repair")

    def captions(self, video_id: str) -> list[Caption]:
        """Read what is said in a video.

        Args:
            video_id: the video.

        Returns:
            The captions in the order of their file.

        Raises:
            ValueError: the library has no such video.
        """
        found = self._read("captions", [self._revision(video_id)], ["number", "start", "end", "text"])
        return [to_caption(row) for row in sorted(found, key=lambda row: row["number"])]

    def full_text(self, words: str, limit: int, ids: Collection[str] | None = None) -> list[tuple[str, Caption, float]]:
        """Look for words in all captions.

        Args:
            words: what to look for, as plain words; English words also in other forms.
            limit: how many captions at most.
            ids: only in these videos.

        Returns:
            (video id, caption, BM25 score), best first.
        """
        if not words.strip() or limit < 1 or (ids is not None and not ids):
            return []
        current = {row["revision"] for row in self._rows().values() if ids is None or row["id"] in ids}
        where = one_of("id", sorted(ids)) if ids is not None and len(ids) <= MAX_NAMED else None
        count = 2 * limit + 16  # some may be of videos that are not, or no longer, there
        while True:
            query = self._tables["captions"].search(_words(words), query_type="fts")
            found = (query.where(where, prefilter=True) if where else query).limit(count).to_arrow().to_pylist()
            hits = [row for row in found if row["revision"] in current]
            if len(hits) >= limit or len(found) < count:
                break
            count *= 4
        hits.sort(key=lambda row: (-row["_score"], row["id"], row["number"]))
        return [(row["id"], to_caption(row), float(row["_score"])) for row in hits[:limit]]

    def sources(self) -> list[Source]:
        """Give what was indexed, and what is not to come back."""
        rows = self._tables["sources"].to_arrow().to_pylist()
        return sorted((Source(**row) for row in rows), key=lambda source: source.path)

    def remember(self, sources: Iterable[Source]) -> None:
        """Remember what was indexed, so that it can be looked at again; of one path the last that was said.

        Args:
            sources: others than these are kept.
        """
        known = set(self.sources())
        new = [asdict(source) for source in sources if source not in known]
        if new:
            merge = self._tables["sources"].merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            persistent(lambda: merge.execute(pa.Table.from_pylist(new, schema=SOURCES)))

    def forget(self, paths: Iterable[str]) -> None:
        """Forget that folders or files were indexed."""
        for names in _portions(sorted(paths)):
            persistent(lambda names=names: self._tables["sources"].delete(one_of("path", names)))

    def orphans(self, older_than: float = ORPHAN_AGE) -> list[str]:
        """Find what a killed process left.

        Args:
            older_than: seconds; younger ones may be another process's, at work right now.

        Returns:
            Revisions of vectors and captions that no video names.
        """
        stored: set[str] = set()
        for name in ("vectors", "captions"):
            stored.update(self._tables[name].search().select(["revision"]).to_arrow()["revision"].to_pylist())
        named = {row["revision"] for row in self._rows(every=True).values()}
        return sorted(revision for revision in stored - named if revision_age(revision) > older_than)

    def lost(self) -> list[str]:
        """Find videos whose vectors are not there, which only a fault of the disk or a foreign hand can bring about."""
        stored = set(self._tables["vectors"].search().select(["revision"]).to_arrow()["revision"].to_pylist())
        return [video_id for video_id, row in self._rows().items() if row["revision"] not in stored]

    def tidy(self, *, older_than: float = ORPHAN_AGE, force: bool = False) -> int:
        """Take away what killed processes left, and bring tables of many small pieces into a few.

        Args:
            older_than: as for `orphans`.
            force: also where a table has few pieces.

        Returns:
            How many revisions were taken away.
        """
        orphans = self.orphans(older_than)
        self._drop(orphans)
        for table in self._tables.values():
            pieces = table.stats()["fragment_stats"]["num_fragments"]
            if force or pieces > max(MIN_FRAGMENTS, table.count_rows() // 2):
                persistent(lambda table=table: table.optimize(cleanup_older_than=OLD))
        return len(orphans)

    def _rows(self, *, every: bool = False) -> dict[str, dict[str, Any]]:
        """The rows of `videos` by id, or by revision with `every`; of two with one id, the later."""
        rows = self._tables["videos"].to_arrow().to_pylist()
        rows.sort(key=lambda row: row["revision"])
        return {row["revision" if every else "id"]: row for row in rows}

    def _revision(self, video_id: str) -> str:
        found = self._tables["videos"].search().where(one_of("id", [video_id])).select(["revision"]).to_arrow()
        if not len(found):
            raise ValueError(f"the library at {self.address} has no video {video_id!r}; mmpt library stats lists them")
        return max(found["revision"].to_pylist())

    def _append(self, name: str, rows: pa.Table) -> None:
        if len(rows):
            persistent(lambda: self._tables[name].add(rows))

    def _read(self, name: str, revisions: Sequence[str], columns: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for names in _portions(revisions):
            query = self._tables[name].search().where(one_of("revision", names)).select(columns)
            found += query.to_arrow().to_pylist()
        return found

    def _drop(self, revisions: Sequence[str]) -> None:
        for names in _portions(revisions):
            for name in ("captions", "vectors"):
                persistent(lambda name=name, names=names: self._tables[name].delete(one_of("revision", names)))

    def _by_size(self, rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        part: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            part.append(row)
            size += 2 * self.dim * row["windows"]
            if size > PORTION or len(part) == MAX_NAMED:
                yield part
                part, size = [], 0
        if part:
            yield part


def local_folder(address: str | os.PathLike[str]) -> Path | None:
    """Give the folder that an address is, or None for an object store's."""
    text = os.fspath(address)
    return None if "://" in text else Path(text).expanduser().absolute()


def _connect(address: str | os.PathLike[str]) -> Any:
    lancedb = require("lancedb", extra="search")
    folder = local_folder(address)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; a library is a folder, or an address such as s3://bucket/library")
    where = os.fspath(address) if folder is None else str(folder)
    return lancedb.connect(where, read_consistency_interval=timedelta(0))


def _full_text() -> Any:
    fts = require("lancedb.index", extra="search").FTS
    return fts(language="English", stem=True, remove_stop_words=True, ascii_folding=True)


def _words(words: str) -> Any:
    """Words as words, whatever signs they hold that a language of queries would read."""
    return require("lancedb.query", extra="search").MatchQuery(words, "text")


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), MAX_NAMED):
        yield values[start : start + MAX_NAMED]
