"""What a store keeps beside its videos: leftovers of killed processes, videos written twice, tables in many pieces."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from mmpt.search.store_database import Database, Row
from mmpt.search.store_tables import CAPTIONS, TABLES, revision_age
from mmpt.search.words import index_terms

WORDS_PORTION = 50_000  # captions whose words are written with one commit
ORPHAN_AGE = 3600.0  # seconds after which what no video names is taken for a killed process's


class Upkeep:
    """The part of a store that knows which rows belong to videos, and takes others away.

    Args:
        database: the store's tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def orphans(self, older_than: float = ORPHAN_AGE) -> list[str]:
        """Find what a killed process left.

        Args:
            older_than: seconds; younger ones may be another process's, at work right now.

        Returns:
            Revisions of vectors and captions that no video names.
        """
        stored = self._revisions("vectors") | self._revisions("captions")
        left = stored - self._revisions("videos")
        return sorted(revision for revision in left if revision_age(revision) > older_than)

    def lost(self) -> list[str]:
        """Find videos whose vectors are not there, as only a fault of the disk or a foreign hand can bring about."""
        stored = self._revisions("vectors")
        return [video_id for video_id, row in self._rows().items() if row["revision"] not in stored]

    def doubles(self) -> list[str]:
        """Find videos that stand there twice, as when two processes put one in at the same moment; one is read."""
        counts = Counter(row["id"] for row in self._database.rows("videos", ["id"]))
        return sorted(video_id for video_id, count in counts.items() if count > 1)

    def tidy(self, *, older_than: float = ORPHAN_AGE, force: bool = False) -> int:
        """Take away what killed processes left, and bring tables of many small pieces into a few.

        Args:
            older_than: as for `orphans`.
            force: also where a table has few pieces.

        Returns:
            How many revisions were taken away.
        """
        doubles = set(self._database.drop_older("videos", "id", "revision"))
        if doubles:  # two rows may have one revision
            doubles -= self._revisions("videos")
        left = sorted(doubles.union(self.orphans(older_than)))
        self._drop(left)
        for name in TABLES:
            self._database.compact(name, force=force)
        return len(left)

    def index_words(self) -> int:
        """Index the words of captions that lack them, in libraries of earlier versions.

        It may be interrupted at any moment and called again; until it is done, captions are found as before.

        Returns:
            The number of captions that were indexed.
        """
        self._database.widen("captions", CAPTIONS)
        count = 0
        while rows := self._database.first("captions", WORDS_PORTION, "words IS NULL"):
            for row in rows:
                row["language"] = row["language"] or ""
                row["words"] = " ".join(index_terms(row["text"], row["language"]))
            once = {(row["revision"], row["number"]): row for row in rows}
            table = pa.Table.from_pylist(list(once.values()), schema=CAPTIONS)
            self._database.change("captions", table, ["revision", "number"])
            count += len(rows)
        self._database.index_terms("captions", "words")  # last, since it decides which column is searched
        return count

    def _rows(self) -> dict[str, Row]:
        """The rows of `videos` by id, in the order in which they came; of two with one id, the later."""
        rows = sorted(self._database.rows("videos"), key=lambda row: row["revision"])
        return {row["id"]: row for row in rows}

    def _revisions(self, name: str) -> set[str]:
        return {row["revision"] for row in self._database.rows(name, ["revision"])}

    def _drop(self, revisions: Sequence[str]) -> None:
        for name in ("vectors", "captions"):  # where the vectors are, the captions are too
            self._database.drop(name, "revision", revisions)
