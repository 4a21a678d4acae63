"""Where commands write: results to `out`, progress and notes to `err`, so that a pipe gets results only.

Neither reads markup or emoji codes in what it is given: names of files and sentences are shown as they are. What is to
be styled comes as `rich.text.Text`.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator

from rich.console import Console

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def legible(text: object) -> str:
    r"""Write what a terminal would obey, and the bytes of a file's name that are no letters, as codes: \x1b, \udcXX.

    Names of files and captions come from anywhere, and could otherwise colour the terminal, or rename its window.

    Args:
        text: what is to be shown, for example a path.

    Returns:
        The same where it is proper Unicode without control characters; ends of lines and tabs stay.
    """
    return CONTROLS.sub(_code, str(text)).encode("utf-8", "backslashreplace").decode("utf-8")


def _code(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


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
