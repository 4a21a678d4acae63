"""Where relative paths such as runs/retri/videoclip/checkpoint_best.pt are looked for."""

import os
from pathlib import Path


def home() -> Path:
    """Give the folder that documented relative paths start from.

    Returns:
        $MMPT_HOME when it is set, else the current folder.
    """
    return Path(os.environ.get("MMPT_HOME") or ".")


def locate(relative: str | os.PathLike[str]) -> Path:
    """Say where a documented file lies.

    Args:
        relative: a path as the documentation writes it; an absolute one is kept.

    Returns:
        The path below `home`; nothing needs to be there yet.
    """
    return home() / relative
