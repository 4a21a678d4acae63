"""What could not be done of many items: one JSON object a line, beside the results.

Here each run writes its own list anew. `mmpt.video.failures` keeps one list for all runs on a folder.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmpt.utils.files import atomic_path

FAILURES = "failures.jsonl"  # the list's name in a folder of results


class FailureLog:
    """Takes down what fails.

    Args:
        write: takes a line.

    Attributes:
        count: failures so far.
        first: the first few, for messages.
    """

    SHOWN = 3

    def __init__(self, write: Any) -> None:
        self._write = write
        self.count = 0
        self.first: list[str] = []

    def add(self, video_id: str, reason: str, **more: Any) -> None:
        """Take down a failure.

        Args:
            video_id: the item.
            reason: what is wrong with it, and what to do.
            more: further keys of the line.
        """
        self._write(failure_line({"video": video_id, "reason": reason, **more}))
        self.count += 1
        if len(self.first) < self.SHOWN:
            self.first.append(f"{video_id}: {reason}")


def failure_line(entry: Mapping[str, Any]) -> str:
    """Write an entry of a list.

    Args:
        entry: `video`, `reason` and more.

    Returns:
        A line, with its end.
    """
    return f"{json.dumps(entry)}\n"


def read_failures(path: Path) -> dict[str, dict[str, Any]]:
    """Read a list of failures.

    Args:
        path: the file, which need not be there.

    Returns:
        Video -> its entry, the last where it has several; lines that are none are left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    entries = {}
    for line in lines:
        try:
            entry = json.loads(line)
            entries[entry["video"]] = entry
        except (ValueError, TypeError, KeyError):
            continue
    return entries


@contextlib.contextmanager
def failure_log(path: Path, *, always: bool = False) -> Iterator[FailureLog]:
    """Write a list of failures.

    Args:
        path: the file. At the end of the work it holds this run's failures; without any it is removed.
        always: write it also where the work ends with an error; else the file stays as it was.

    Yields:
        Where to take them down.
    """
    ended: Exception | None = None
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        log = FailureLog(file.write)
        try:
            yield log
        except Exception as error:
            if not always:
                raise
            ended = error
    if not log.count:
        path.unlink()
    if ended is not None:
        raise ended
