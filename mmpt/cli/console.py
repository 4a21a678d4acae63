"""Where commands write: results to `out`, progress and notes to `err`, so that a pipe gets results only.

Neither reads markup or emoji codes in what it is given: names of files and sentences are shown as they are. What is to
be styled comes as `rich.text.Text`. What a terminal would obey is shown as codes, see `mmpt.utils.legible`; so is the
end of a line inside a table's cell, or in what is printed with `soft_wrap=True`, which is one line.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Span, Text

from mmpt.utils.legible import legible, one_line


class LegibleConsole(Console):
    """A console that escapes control characters in everything it prints."""

    @property
    def file(self) -> IO[str]:
        """The underlying stream, behind `LegibleStream` and behind rich's stand-in while a progress bar is shown."""
        file = super().file
        return getattr(file, "rich_proxied_file", file)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def print(self, *objects: Any, soft_wrap: bool | None = None, **more: Any) -> None:
        """Print, as `rich.console.Console` does."""
        clean = [_cleaned(each, one_line) for each in objects] if soft_wrap else objects
        super().print(*clean, soft_wrap=soft_wrap, **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, as `rich.console.Console` does; called for every part of the output."""
        if isinstance(renderable, Table):
            for column in renderable.columns:
                column.header = _cleaned(column.header, one_line)
                column._cells[:] = [_cleaned(cell, one_line) for cell in column._cells]
        return super().render(_cleaned(renderable, legible), options)


def _cleaned(shown: Any, clean: Callable[[object], str]) -> Any:
    """Escape the control characters of a text, keeping its styles; other renderables are returned unchanged."""
    if isinstance(shown, str):
        return clean(shown)
    if not isinstance(shown, Text) or clean(shown.plain) == shown.plain:
        return shown
    cleaned = shown.blank_copy()
    for letter in shown.divide(range(1, len(shown))):
        plain = clean(letter.plain)
        cleaned.append_text(Text(plain, spans=[Span(0, len(plain), span.style) for span in letter.spans]))
    return cleaned


out = LegibleConsole(highlight=False, markup=False, emoji=False)
err = LegibleConsole(stderr=True, highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the progress bars and reports of transformers away: the commands say themselves what goes wrong."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
