"""The files below a folder, also behind symbolic links."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_files(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Give the files below a folder, each folder's once, whatever links lead to it.

    Hidden files are left out: they are other programs' (macOS writes a `._clip.mp4` beside each file on many disks).

    Args:
        folder: where to look.
        on_error: told of each folder that cannot be read.

    Yields:
        Files, in no order. A folder is called by its own path rather than by a link's.
    """
    waiting, seen = deque([folder]), set()
    while waiting:  # what links lead to comes last
        for place, folders, names in os.walk(waiting.popleft(), onerror=on_error):
            if (own := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(own)
            waiting += (path for name in sorted(folders) if os.path.islink(path := Path(place, name)))
            yield from (Path(place, name) for name in names if not name.startswith("."))
