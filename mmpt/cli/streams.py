"""The door to the terminal: whatever a command writes to it, nothing is written that it would obey."""

import contextlib
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TextIO

from mmpt.utils.legible import legible, message, one_line

LISTED = 5  # items that are told one by one


class LegibleStream:
    """A stream that shows control characters as codes.

    Args:
        stream: where to.
        clean: what becomes of each text that is written.

    Attributes:
        rich_proxied_file: the stream; rich writes there, since what it styles itself is meant to be obeyed.
    """

    def __init__(self, stream: TextIO, clean: Callable[[str], str]) -> None:
        self.rich_proxied_file = stream
        self._clean = clean

    def write(self, text: str) -> int:
        """Write a text."""
        self.rich_proxied_file.write(self._clean(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def legible_streams(words: list[str]) -> Iterator[None]:
    """Let nothing reach the terminal that it would obey, and lose nothing for letters that it cannot show.

    Each text that goes to the error stream is one message: its further lines are indented, so that no name of a file
    can look like a message. Results that go to a file or a pipe stay as they are.

    Args:
        words: of the command; each is shown on one line.
    """
    parts = {part for word in words for part in (word, *re.split("[=/]", word))}
    odd = [part for part in parts if part.strip() and part != one_line(part)]
    before = sys.stdout, sys.stderr
    changed = [(stream, stream.errors) for stream in before if isinstance(stream, io.TextIOWrapper)]
    for stream, _ in changed:
        stream.reconfigure(errors="backslashreplace")
    sys.stderr = LegibleStream(sys.stderr, lambda text: message(text, odd))
    if sys.stdout.isatty():
        sys.stdout = LegibleStream(sys.stdout, legible)
    try:
        yield
    except Exception:
        sys.excepthook = _show_traceback  # what is shown of it is shown outside
        raise
    finally:
        sys.stdout, sys.stderr = before
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # a closed pipe
                stream.reconfigure(errors=errors)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(legible("".join(traceback.format_exception(kind, error, trace))))


def list_items(kind: str, items: Sequence[str], more: str = "") -> None:
    """Tell of items on the error stream, the first few one by one, each on one line.

    Args:
        kind: what is told of them.
        items: a sentence for each.
        more: where the others are listed.
    """
    for item in items[:LISTED]:
        sys.stderr.write(f"mmpt: {kind}: {one_line(item)}\n")
    if len(items) > LISTED:
        sys.stderr.write(f"mmpt: {kind}: and {len(items) - LISTED} more{more}\n")
