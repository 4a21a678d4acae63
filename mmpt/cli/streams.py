"""Output streams that escape control characters, so that nothing a command prints is obeyed by the terminal."""

import contextlib
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TextIO

from mmpt.utils.legible import legible, message, one_line

LISTED = 5  # items that are listed one by one


class LegibleStream:
    """A stream that writes control characters as escape codes.

    Args:
        stream: the stream to write to.
        clean: applied to each text before it is written.

    Attributes:
        rich_proxied_file: the stream itself, to which rich writes its own styles unescaped.
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
    """Escape control characters that go to the terminal, and characters that its encoding lacks.

    Each text written to stderr is one message: its further lines are indented, so that no file name can look like a
    message of its own. Results that go to a file or a pipe are not changed.

    Args:
        words: the command's arguments; each is shown on one line.
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
        sys.excepthook = _show_traceback  # it is printed after the streams are restored
        raise
    finally:
        sys.stdout, sys.stderr = before
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # a closed pipe
                stream.reconfigure(errors=errors)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(legible("".join(traceback.format_exception(kind, error, trace))))


def list_items(kind: str, items: Sequence[str], more: str = "") -> None:
    """Write items to stderr, the first few one by one, each on one line.

    Args:
        kind: the word before each item, such as "warning".
        items: one sentence each.
        more: appended to the count of the others, such as where they are listed.
    """
    for item in items[:LISTED]:
        sys.stderr.write(f"mmpt: {kind}: {one_line(item)}\n")
    if len(items) > LISTED:
        sys.stderr.write(f"mmpt: {kind}: and {len(items) - LISTED} more{more}\n")
