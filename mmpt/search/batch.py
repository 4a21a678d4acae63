"""Many queries from a file."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmpt.search.query import Query

NAMES = ("text", "query")  # of the column, or key, with what to look for
OPTIONS = {"mode": str, "limit": int, "threshold": float}


def read_queries(path: str | os.PathLike[str], default: Query) -> list[Query]:
    """Read queries.

    Args:
        path: a text file with one query a line, where empty lines and those that begin with # say nothing; a .csv file
            with a column ``text`` or ``query``; or a .jsonl file of such objects or of strings. CSV and JSON may have
            ``mode``, ``limit`` and ``threshold`` too.
        default: what a line does not say.

    Returns:
        The queries, in order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not in UTF-8, a line cannot be read, or there is no query.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no file of queries at {source}")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not in UTF-8 (byte {error.start}); save it as UTF-8") from None
    read = {".csv": _from_csv, ".jsonl": _from_json}.get(source.suffix.lower(), _from_lines)
    queries = [_query(row, default, f"{source}, line {number}") for number, row in read(text, source)]
    if not queries:
        raise ValueError(f"{source} holds no query; write one a line")
    return queries


def _from_lines(text: str, source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, {"text": line.strip()}


def _from_json(text: str, source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}; each line is one JSON string or object") from None
        yield number, row if isinstance(row, dict) else {"text": row}


def _from_csv(text: str, source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.DictReader(text.splitlines(keepends=True))
    names = [name for name in NAMES if name in (rows.fieldnames or [])]
    if not names:
        raise ValueError(f"{source} has the columns {rows.fieldnames}; it takes one that is called text")
    for row in rows:
        yield rows.line_num, {key: value for key, value in row.items() if value}


def _query(row: dict[str, Any], default: Query, where: str) -> Query:
    text = next((row[name] for name in NAMES if row.get(name)), "")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}: there is no text to look for; give it as {' or '.join(NAMES)}")
    given = {key: kind for key, kind in OPTIONS.items() if row.get(key) not in (None, "")}
    changed: dict[str, Any] = {"text": text}
    for key, kind in given.items():
        try:
            changed[key] = None if row[key] == "none" else kind(row[key])
        except (TypeError, ValueError):
            raise ValueError(f"{where}: {key} is {row[key]!r}; it takes {kind.__name__}") from None
    query = replace(default, **changed)
    try:
        query.check()
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return query
