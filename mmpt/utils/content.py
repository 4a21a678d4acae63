"""Content hashes that are remembered, so that a large file is read for its hash only once."""

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from mmpt.utils.files import atomic_path, cache_dir, content_hash

SETTLED = 2.0  # seconds; a file changed more recently could change again within one tick of its clock, unseen

logger = logging.getLogger(__name__)


def remembered_hash(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes, or recall the hash when the file has not changed since.

    Args:
        path: the file.

    Returns:
        The same as `content_hash`. Unchanged means: same path, size, inode and times of last change.

    Raises:
        OSError: the file cannot be read.
    """
    file = Path(path).resolve()
    found = file.stat()
    stamp = [str(file), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    note = cache_dir() / "hashes" / f"{hashlib.sha256(os.fsencode(stamp[0])).hexdigest()[:32]}.json"
    known = _read(note)
    if known.get("stamp") == stamp and isinstance(known.get("sha256"), str):
        return known["sha256"]
    digest = content_hash(file)
    if time.time() - max(found.st_mtime, found.st_ctime) > SETTLED:
        _write(note, {"stamp": stamp, "sha256": digest})
    return digest


def _read(note: Path) -> dict:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(note: Path, content: dict) -> None:
    try:
        with atomic_path(note) as path:
            path.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        logger.info("cannot remember a hash in %s (%s); it is computed again next time", note.parent, error)
