"""Processes of the command for tests that need one: to kill, to interrupt, to run beside another.

Most of what a fresh process costs is importing torch and transformers, four seconds of CPU time. A fork server imports
them once. What depends on how Python itself starts (what is imported, variables that are read meanwhile, hash seeds)
needs `subprocess`, and tests of that use it.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent


def fork_server() -> ForkServerContext:
    """Starts processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def restore_signals() -> None:
    """Let this process be asked to stop, also where the tests run under nohup or in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class ForkedProcess:
    """A function in a process of its own, with that part of `subprocess.Popen` that tests use."""

    def __init__(
        self, function: Callable[..., Any], *arguments: Any, cwd: Path | str, env: Mapping[str, str] | None = None
    ) -> None:
        (out, childs_out), (err, childs_err) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
        environment = dict(os.environ if env is None else env)
        self._process = fork_server().Process(
            target=_call, args=(function, arguments, str(cwd), environment, childs_out, childs_err)
        )
        self._process.start()
        childs_out.close()
        childs_err.close()
        self.stdout, self.stderr = _opened(out), _opened(err)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a process of the tests", timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        told = ["", ""]

        def read(place: int, stream: IO[str]) -> None:
            told[place] = stream.read()

        readers = [
            threading.Thread(target=read, args=item, daemon=True) for item in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return told[0], told[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    def __enter__(self) -> "ForkedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()


def start_mmpt(*words: object, cwd: Path | str = ROOT, env: Mapping[str, str] | None = None) -> ForkedProcess:
    """Start `mmpt WORDS` in a process of its own."""
    return ForkedProcess(_mmpt, [str(word) for word in words], cwd=cwd, env=env)


def _mmpt(words: Sequence[str]) -> int:
    from mmpt.cli.main import main

    sys.argv = ["mmpt", *words]
    return main()


def _call(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    cwd: str,
    environment: Mapping[str, str],
    out: Connection,
    err: Connection,
) -> None:
    """Be a process as a shell would start it: with its own folder, environment, outputs and signals."""
    for number, stream in ((1, out), (2, err)):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    restore_signals()
    try:
        sys.exit(function(*arguments))
    finally:
        sys.stdout.flush()


def _opened(pipe: Connection) -> IO[str]:
    with pipe:
        return os.fdopen(os.dup(pipe.fileno()), encoding="utf-8")
