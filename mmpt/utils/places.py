"""Where relative paths such as runs/retri/videoclip/checkpoint_best.pt are looked for."""

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_HOME: ContextVar[str] = ContextVar("home", default="")


def home() -> Path:
    """Give the folder that documented relative paths start from.

    Returns:
        $MMPT_HOME when it is set, else the current folder.
    """
    return Path(_HOME.get() or os.environ.get("MMPT_HOME") or ".")


@contextlib.contextmanager
def at_home(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Let documented relative paths start from another folder, in this thread.

    Args:
        folder: which; empty for the one of `home`.
    """
    token = _HOME.set(os.fspath(folder) or _HOME.get())
    try:
        yield
    finally:
        _HOME.reset(token)


def locate(relative: str | os.PathLike[str]) -> Path:
    """Say where a documented file lies.

    Args:
        relative: a path as the documentation writes it; an absolute one is kept.

    Returns:
        The path below `home`; nothing needs to be there yet.
    """
    return home() / relative
