"""Limits that a child process sets for itself before it touches what others made."""

import ctypes
import os
import signal
import sys
import threading
import time

try:
    import resource
except ImportError:  # on Windows, where only the wall time is limited
    resource = None

MAX_FILES = 256
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK = 1.0  # seconds between looks at whether the parent is still there


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


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent has ended, however that ended.

    On Linux the system does it. Elsewhere a thread looks, whose memory would count among what `confine` limits.

    Args:
        parent: process id, as the parent itself said it: it may have ended before this process asks who it is. The
            thread that started this process must live as long as the parent does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
