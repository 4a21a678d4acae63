"""What killed runs left half-written."""

import os
import re
import shutil
import time
from pathlib import Path

STALE = 600.0  # seconds without a write, after which nobody is writing a file any more
TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{12}\.\w+", re.DOTALL)  # as mmpt.utils.files.atomic_path names them
SCRATCH = ".scratch."  # beginning of the names of temporary folders


def half_written(folder: Path) -> list[tuple[Path, str]]:
    """Find files that are being written, or were when their writer was killed.

    Args:
        folder: where to look.

    Returns:
        Each with the stem of the file that it was to become; of a long one, the beginning.
    """
    with os.scandir(folder) as entries:
        found = [(entry.path, TEMPORARY.fullmatch(entry.name)) for entry in entries]
    return [(Path(path), match["stem"]) for path, match in found if match]


def sweep(folder: Path, beginning: str) -> None:
    """Remove temporary files and folders that have not been written to for a while.

    Args:
        folder: where to look.
        beginning: of the names of the files that they were to become.
    """
    if not folder.is_dir():
        return
    paths = [path for path, stem in half_written(folder) if stem.startswith(beginning[:100])]
    for path in {*paths, *folder.glob(f"{SCRATCH}*")}:
        if time.time() - _last_write(path) < STALE:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _last_write(path: Path) -> float:
    """Give the time of the last write to a file, or to a file of a folder; now, where it is gone."""
    try:
        return max(entry.stat().st_mtime for entry in (path, *path.glob("*")))
    except FileNotFoundError:
        return time.time()
