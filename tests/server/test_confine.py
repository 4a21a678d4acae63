"""Processes that read what others made do not outlive the server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmpt.server.pictures import package_environment

WAIT = 60.0  # seconds; on a busy machine
SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", sys.argv[1], str(os.getpid())], start_new_session=True)
print(child.pid, flush=True)
time.sleep(1000)
"""


def is_there(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about since does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # no Linux
    except ProcessLookupError:
        return False


@pytest.mark.parametrize("worker", ["mmpt.server.picture_worker", "mmpt.server.upload_worker"])
def test_a_process_ends_when_its_server_is_killed(worker: str):
    # stdin is held open here, so that the process would wait for work for ever
    words = [sys.executable, "-c", SERVER, worker]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=package_environment()) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        try:
            time.sleep(1.5)
            assert is_there(child)  # it stays while the server does
            server.kill()
            until = time.monotonic() + WAIT
            while is_there(child):
                assert time.monotonic() < until, "the process outlived its server"
                time.sleep(0.05)
        finally:
            server.kill()
            if is_there(child):
                os.kill(child, signal.SIGKILL)
