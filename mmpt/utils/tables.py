"""Tables, lists and JSON files of data sets -> plain values, with every fault placed by file and line."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        where: file and line, for messages.
        values: column -> text, without white space around it.
    """

    where: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def read_table(
    path: Path, columns: Sequence[str], *, delimiter: str = ",", header: bool = True
) -> tuple[list[Row], list[str]]:
    """Read a table with a known set of columns.

    Args:
        path: the file, UTF-8; text in double quotes may hold delimiters and line ends.
        columns: with a header, the columns that must be there, in any order and among others; without, the names of
            the first columns.
        delimiter: what stands between two cells.
        header: whether the first row names the columns.

    Returns:
        The rows in order, blank lines left out; and a fault for each row that has too few cells, or more than the
        header has, which is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such table: a column is missing or stands twice, a quote never ends, or it is no text.
    """
    lines = _cells(path, delimiter)
    names = list(columns)
    if header:
        if not lines:
            raise ValueError(f"{path} is empty; its first line must name the columns {', '.join(columns)}")
        names = [cell.strip() for cell in lines[0][1]]
        absent = [column for column in columns if column not in names]
        if absent:
            there = ", ".join(repr(name) for name in names if name)
            raise ValueError(f"{path}:{lines[0][0]} has no column {absent[0]!r}; its columns are {there}")
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise ValueError(f"{path}:{lines[0][0]} has the column {twice[0]!r} more than once; remove or rename one")
        lines = lines[1:]
    needed = 1 + max(names.index(column) for column in columns)
    rows, faults = [], []
    for line, cells in lines:
        if len(cells) < needed:
            faults.append(f"{path}:{line} has {len(cells)} of {needed} cells; it is left out")
            continue
        if header and any(cell.strip() for cell in cells[len(names) :]):
            hint = f"a text that holds {delimiter!r} takes double quotes around it"
            faults.append(f"{path}:{line} has {len(cells)} cells for {len(names)} columns ({hint}); it is left out")
            continue
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
        rows.append(Row(f"{path}:{line}", values))
    return rows, faults


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Read a list with one entry a line.

    Args:
        path: the file, UTF-8.

    Returns:
        (file and line, entry without white space around it) of each line that is not blank.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text.
    """
    lines = _text(path).split("\n")
    return [(f"{path}:{index}", line.strip()) for index, line in enumerate(lines, 1) if line.strip()]


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: the file, UTF-8.

    Returns:
        Its value.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, with line and column; or a key stands twice in one object, so that one of the two
            values would be lost.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))
            raise ValueError(f"{path}: the key {twice!r} stands twice in one object; remove one of the two")
        return made

    try:
        return json.loads(_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}, column {error.colno}: it is not valid JSON ({error.msg})") from error


def json_part(value: Any, key: str, kind: type, path: Path) -> Any:
    """Take a part of a JSON file that must be there.

    Args:
        value: the file's value.
        key: the part's name.
        kind: what it must be, `dict` or `list`.
        path: the file, for messages.

    Returns:
        The part.

    Raises:
        ValueError: it is not there, or is something else.
    """
    part = value.get(key) if isinstance(value, dict) else None
    if not isinstance(part, kind):
        there = ", ".join(repr(name) for name in list(value)[:5]) if isinstance(value, dict) else "none"
        name = "list" if kind is list else "object"
        raise ValueError(f"{path} has no {name} under {key!r}, and its keys are: {there}; is it the right file?")
    return part


def segment_fault(start: Any, end: Any) -> str | None:
    """Say what is wrong with the times of a segment.

    Args:
        start: its beginning, in seconds.
        end: its end, in seconds.

    Returns:
        The middle of a sentence, or None when nothing is wrong.
    """
    for time in (start, end):
        if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
            return f"has the time {time!r}, which is no number of seconds"
    if start < 0:
        return f"begins at {start} s, before the video"
    if end < start:
        return f"ends at {end} s, before its beginning at {start} s"
    return None


def number(text: str) -> Any:
    """Read a number of a table.

    Args:
        text: a cell.

    Returns:
        The number, an int where it is written as one; the text itself where it is none.
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(path: Path) -> str:
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {kind}")
    try:
        return path.read_text(encoding="utf-8-sig")  # tables that a spreadsheet wrote begin with a mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _cells(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line that the row begins on, cells) of each row that is not blank."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    rows = []
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{begins} is not a row of a table ({error})") from error
    return rows
