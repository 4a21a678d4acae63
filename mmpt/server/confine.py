"""Limits that a child process sets for itself before it touches what others made."""

import os

try:
    import resource
except ImportError:  # on Windows, where only the wall time is limited
    resource = None

MAX_FILES = 256


def confine(*, memory: int, seconds: float | None = None, file_bytes: int | None = None) -> None:
    """Limit this process and its children, for good.

    Args:
        memory: bytes of address space.
        seconds: of processor time, over all threads.
        file_bytes: the largest file that may be written.
    """
    os.umask(0o077)
    if resource is None:
        return
    limits = [(resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, MAX_FILES)]
    if seconds is not None:
        limits.append((resource.RLIMIT_CPU, int(seconds) + 1))
    if file_bytes is not None:
        limits.append((resource.RLIMIT_FSIZE, file_bytes))
    for kind, limit in limits:
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, limit))
