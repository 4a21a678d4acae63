"""`mmpt serve` as a user runs it: its own process, from the start to the stop."""

import argparse
import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmpt.cli import serve
from mmpt.cli.main import main
from tests.processes import ForkedProcess, start_mmpt

STARTS = 90.0  # seconds in which a server must answer, on a busy machine


@pytest.fixture
def run_server(tmp_path: Path) -> Iterator:
    """Starts servers: run_server(words) -> the process and its address."""
    running: list[ForkedProcess] = []

    def start(*words: str, **environment: str) -> tuple[ForkedProcess, str]:
        process = start_mmpt("serve", "--port", "0", *words, env={**os.environ, **environment})
        running.append(process)
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://\S+:\d+/", line):
                return process, found[0]
        raise AssertionError(f"the server ended: {''.join(lines)}")

    yield start
    for process in running:
        process.kill()
        process.wait()


def fetch(url: str, **headers: str) -> dict:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=STARTS) as answer:
        return json.load(answer)


def test_it_serves_a_library_and_stops_well_at_sigterm(run_server, shared_library: Path):
    process, url = run_server(str(shared_library))
    assert url.startswith("http://127.0.0.1:")
    found = fetch(f"{url}api/search?q=flip+the+pancake&mode=said")
    assert found["moments"][0]["video"]["title"] == "pancake.mp4"
    video = found["moments"][0]["video"]["id"]
    with urllib.request.urlopen(f"{url}api/videos/{video}/thumbnail?second=4", timeout=STARTS) as answer:
        assert answer.read(2) == b"\xff\xd8"
    # a reader that never reads does not hold the server up
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.sendall(f"GET /api/videos/{video}/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - begin < 15


def test_the_token_of_the_environment_is_asked_for_and_never_shown(run_server, shared_library: Path):
    token = "a-token-of-the-tests"
    process, url = run_server("--library", str(shared_library), "-v", MMPT_TOKEN=token)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(f"{url}api/library")
    assert fetch(f"{url}api/library", Authorization=f"Bearer {token}")["videos"] == 3
    process.send_signal(signal.SIGINT)
    told = process.stderr.read()
    assert process.wait(30) in (0, 130)
    assert "GET /api/library" in told and token not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "MMPT_TOKEN"),
        (["--token", "short"], "at least 12"),
        (["--port", "70000"], "0 to 65535"),
        (["--upload-mib", "0"], "above 0"),
        (["--upload-minutes", "nan"], "above 0"),
        (["other/"], "given twice"),
        (["--host", "192.0.2.1", "--token", "long-enough-token"], "cannot listen"),
    ],
)
def test_what_cannot_be_is_told_before_a_model_is_loaded(
    words: list[str], told: str, shared_library: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["serve", "--library", str(shared_library), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_missing_library_is_told_with_the_command_that_makes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert "mmpt index" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_port_that_is_taken_is_told(shared_library: Path, capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(shared_library), "--port", str(port)]) == 2
    assert f"port {port}" in capsys.readouterr().err


def settings_of(*words: str):
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    args = parser.parse_args(list(words))
    args.library = args.folder or args.library
    return serve.make_settings(args)


def test_uploads_lie_in_the_library_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert settings_of("lib").uploads is None
    assert settings_of("lib", "--upload").uploads == tmp_path / "lib" / "uploads"
    assert settings_of("lib", "--upload", "up").uploads == tmp_path / "up"
    assert settings_of("s3://bucket/lib", "--upload", "up").uploads == tmp_path / "up"
    with pytest.raises(ValueError, match="--upload FOLDER"):
        settings_of("s3://bucket/lib", "--upload")


def test_numbers_become_the_limits_they_say():
    settings = settings_of(
        "--upload", "u", "--upload-mib", "10", "--upload-minutes", "2", "--upload-memory-mib", "1024"
    )
    assert (settings.upload_bytes, settings.upload_seconds, settings.upload_memory) == (10 << 20, 120, 1 << 30)
