"""Where commands write: results to `out`, progress and notes to `err`, so that a pipe gets results only.

Neither reads markup or emoji codes in what it is given: names of files and sentences are shown as they are. What is to
be styled comes as `rich.text.Text`.
"""

import contextlib
import io
import sys
from collections.abc import Iterator

from rich.console import Console

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def legible(text: object) -> str:
    r"""Write the bytes of a file's name that are no letters as \udcXX, so that any display takes them.

    Args:
        text: what is to be shown, for example a path.

    Returns:
        The same where it is proper Unicode.
    """
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Let letters that the terminal cannot show be written as codes instead of losing the result."""
    changed = [(s, s.errors) for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    for stream, _ in changed:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # a closed pipe
                stream.reconfigure(errors=errors)


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
