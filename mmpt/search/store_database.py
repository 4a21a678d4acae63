"""LanceDB as a library uses it: a few tables, rows in and out, and writes that get along with other processes'."""

import contextlib
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from mmpt.utils.optional import require

MAX_NAMED = 500  # values that a condition names
PATIENCE = 60.0  # seconds that a write is tried again while other processes write too
OLD = timedelta(minutes=10)  # versions that readers may still look at
MIN_PIECES = 64  # commits after which a table is worth compacting; later a quarter of its rows, which bounds copying
MOST_PIECES = 1000  # each version names all pieces, 90 bytes each, so that versions would grow with their square
ABSENT = "was not found"  # in what LanceDB says of a table that there is not
CAUSES = (r"<Message>([^<]+)", r'message: "([^"]+)"', r'source: "([^:"{]+)', r"body: Some\(\"([^\"]+)")
MOST_CAUSE = 200  # letters of an error of an object store, which may come with pages of its insides

logger = logging.getLogger(__name__)

T = TypeVar("T")
Row = dict[str, Any]


class Database:
    """The tables at an address; always in the state that the last commit of any process left.

    Args:
        address: a folder, or another address that LanceDB takes.

    Raises:
        ValueError: the address is a file's.
        OSError: it cannot be reached.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        lancedb = require("lancedb", extra="search")
        folder = local_folder(address)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; a library is a folder, or an address such as s3://bucket/library")
        where = os.fspath(address) if folder is None else str(folder)
        with _reaching(where):
            self._connection = lancedb.connect(where, read_consistency_interval=timedelta(0))
        self._where = where
        self._tables: dict[str, Any] = {}

    def make(self, schemas: Mapping[str, pa.Schema]) -> None:
        """Create the tables that are missing."""
        for name, schema in schemas.items():
            if not self.has(name):  # a table of an earlier version with fewer columns would be refused
                self._connection.create_table(name, schema=schema, exist_ok=True)

    def make_with(self, name: str, rows: pa.Table) -> None:
        """Make a table that has its rows from the first moment on; nothing happens where there is one."""
        self._connection.create_table(name, data=rows, exist_ok=True)

    def has(self, name: str) -> bool:
        """Whether there is a table of that name."""
        try:
            return bool(self._table(name))
        except (ValueError, FileNotFoundError):
            return False

    def text_indices(self, name: str) -> dict[str, str]:
        """Return the columns of a table that are indexed, with the names of their indices."""
        return {index.columns[0]: index.name for index in self._table(name).list_indices()}

    def index_terms(self, name: str, column: str) -> None:
        """Index a column of terms with white space between, as they are, and drop the indices of other columns."""
        table, fts = self._table(name), require("lancedb.index", extra="search").FTS
        if column not in self.text_indices(name):
            plain = {"stem": False, "remove_stop_words": False, "ascii_folding": False, "lower_case": False}
            config = fts(base_tokenizer="whitespace", max_token_length=None, **plain)
            persistent(lambda: table.create_index(column, config=config))
        for other, index in self.text_indices(name).items():
            if other != column:
                try:
                    table.drop_index(index)
                except (RuntimeError, ValueError):  # another process was first
                    if other in self.text_indices(name):
                        raise

    def version(self, name: str) -> int:
        """Give a number that grows with each commit to a table."""
        return self._table(name).version

    def count(self, name: str) -> int:
        """Count a table's rows."""
        return self._table(name).count_rows()

    def rows(self, name: str, columns: Sequence[str] | None = None) -> list[Row]:
        """Read all rows of a table."""
        query = self._table(name).search()
        return (query if columns is None else query.select(list(columns))).to_arrow().to_pylist()

    def distinct(self, name: str, column: str) -> list[Any]:
        """Return the values that a column has, each once."""
        return self._table(name).search().select([column]).to_arrow()[column].unique().to_pylist()

    def first(self, name: str, count: int, where: str) -> list[Row]:
        """Read up to `count` rows that meet a condition."""
        return self._table(name).search().where(where).limit(count).to_arrow().to_pylist()

    def read(self, name: str, column: str, values: Sequence[str], columns: Sequence[str] | None = None) -> list[Row]:
        """Read the rows whose column has one of some values."""
        found: list[Row] = []
        for part in _portions(values):
            query = self._table(name).search().where(one_of(column, part))
            found += (query if columns is None else query.select(list(columns))).to_arrow().to_pylist()
        return found

    def find_text(self, name: str, column: str, words: str, count: int, where: str | None) -> list[Row]:
        """Read the rows whose text has words, with their BM25 `_score`; rows of which no index knows yet are found too.

        Args:
            name: of the table.
            column: of the text, which is indexed.
            words: as plain words, whatever signs they hold that a language of queries would read.
            count: of rows at most, the best ones.
            where: a condition on the rows.
        """
        match = require("lancedb.query", extra="search").MatchQuery(words, column)
        query = self._table(name).search(match, query_type="fts")
        if where is not None:
            query = query.where(where, prefilter=True)
        return query.limit(count).to_arrow().to_pylist()

    def widen(self, name: str, schema: pa.Schema) -> None:
        """Add the columns that a table of an earlier version lacks; null in its rows."""

        def add() -> None:
            table = self._table(name)
            there = table.schema.names
            if missing := [column for column in schema if column.name not in there]:
                table.add_columns(pa.schema(missing))

        try:
            persistent(add)
        except OSError:  # another process may have added them meanwhile
            if any(column not in self._table(name).schema.names for column in schema.names):
                raise

    def append(self, name: str, rows: pa.Table) -> None:
        """Add rows, with one commit."""
        if len(rows):
            persistent(lambda: self._table(name).add(rows))

    def merge(self, name: str, rows: pa.Table, on: str) -> None:
        """Add rows in the place of those with the same value in a column, with one commit."""
        merge = self._table(name).merge_insert(on).when_matched_update_all().when_not_matched_insert_all()
        persistent(lambda: merge.execute(rows))

    def change(self, name: str, rows: pa.Table, on: Sequence[str]) -> None:
        """Update the rows with the same values in some columns, with one commit; rows without a match are ignored."""
        merge = self._table(name).merge_insert(list(on)).when_matched_update_all()
        persistent(lambda: merge.execute(rows))

    def set(self, name: str, values: Mapping[str, str]) -> None:
        """Set columns of all rows to a value, with one commit."""
        persistent(lambda: self._table(name).update(values=dict(values)))

    def drop(self, name: str, column: str, values: Sequence[str]) -> None:
        """Remove the rows whose column has one of some values."""
        for part in _portions(values):
            persistent(lambda part=part: self._table(name).delete(one_of(column, part)))

    def drop_older(self, name: str, on: str, order: str) -> list[str]:
        """Leave one row of those with the same value in a column: the one that is the last by another column.

        Args:
            name: of the table.
            on: column of the value.
            order: the other column.

        Returns:
            What the rows that were removed had in that other column.
        """
        rows = self._table(name).search().select([on, order]).with_row_id(True).to_arrow().to_pylist()
        rows.sort(key=lambda row: (row[order], row["_rowid"]))
        last = {row[on]: row["_rowid"] for row in rows}
        older = [row for row in rows if row["_rowid"] != last[row[on]]]
        for row in older:  # the number of a row may be another's meanwhile, but not with its value too
            where = f"{one_of(order, [row[order]])} AND _rowid = {row['_rowid']}"
            persistent(lambda where=where: self._table(name).delete(where))
        return [row[order] for row in older]

    def compact(self, name: str, *, force: bool = False) -> None:
        """Bring a table of many small pieces into a few, its index up to date, and let old versions go.

        Args:
            name: of the table.
            force: also where there are few pieces.
        """
        table = self._table(name)
        pieces = table.stats()["fragment_stats"]["num_fragments"]
        if force or pieces > min(max(MIN_PIECES, table.count_rows() // 4), MOST_PIECES):
            persistent(lambda: table.optimize(cleanup_older_than=OLD))

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            with _reaching(self._where):
                self._tables[name] = self._connection.open_table(name)
        return self._tables[name]


def local_folder(address: str | os.PathLike[str]) -> Path | None:
    """Give the folder that an address is, or None for an object store's."""
    text = os.fspath(address)
    return None if "://" in text else Path(os.path.abspath(os.path.expanduser(text)))


def one_of(column: str, values: Iterable[str]) -> str:
    """Write the condition that a column has one of some values."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})" if quoted else "false"


def persistent(write: Callable[[], T]) -> T:
    """Write, and try again where another process's write came between.

    Args:
        write: the write; nothing is left of it when it raises.

    Returns:
        What it gives.

    Raises:
        OSError: it fails for another reason, or there are conflicts for a minute.
    """
    end, pause = time.monotonic() + PATIENCE, 0.01
    jitter = random.Random()  # of its own: two processes must not wait for the same time
    while True:
        try:
            return write()
        except (RuntimeError, OSError, ValueError) as error:
            if not _is_conflict(error) or time.monotonic() > end:
                raise OSError(f"the library cannot be written: {error}") from error
            logger.info("another process writes too; trying again (%s)", error)
        time.sleep(pause * (0.5 + jitter.random()))
        pause = min(2 * pause, 1.0)


@contextlib.contextmanager
def _reaching(where: str) -> Iterator[None]:
    """Say of an object store that does not answer, or lets nobody in, what a user can do."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # which of them depends on the store and on what went wrong
        if ABSENT in str(error):
            raise
        hint = "the address is right, and the keys that it needs are in the environment"
        if local_folder(where) is not None:
            hint = "its files can be read, and index into a new library where they are damaged"
        raise OSError(f"{where} cannot be reached; see whether {hint} ({_cause(error)})") from error


def _cause(error: Exception) -> str:
    """What an object store said, out of all that LanceDB tells of it; -v shows that too."""
    text = str(error)
    found = [match[1] for pattern in CAUSES for match in re.finditer(pattern, text)]
    return " ".join((found[0] if found else text).split())[:MOST_CAUSE]


def _is_conflict(error: Exception) -> bool:
    text = str(error).lower()
    return "conflict" in text or "contention" in text or "concurrent" in text


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), MAX_NAMED):
        yield values[start : start + MAX_NAMED]
