"""`mmpt demo`: everything runs, and it says that the weights are random."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmpt.cli.main import main


def test_it_scores_a_rendered_clip_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_HOME", "elsewhere")
    assert main(["demo"]) == 0
    captured = capsys.readouterr()
    out = captured.out
    assert "a red ball rolls to the right" in out and "best moment" in out
    assert "weights are random" in out and "mean nothing" in out
    assert os.environ["MMPT_HOME"] == "elsewhere"
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert (tmp_path / "runs/demo/clip.png").read_bytes().startswith(b"\x89PNG")
    assert not re.search(r"Loading weights|Writing model|LOAD REPORT", captured.err)
    assert (tmp_path / "runs/demo/runs/retri/videoclip/checkpoint_best.pt").is_file()


@pytest.mark.skipif(os.name != "posix", reason="the printed command is for a POSIX shell")
def test_the_printed_command_runs_and_gives_what_was_printed(tmp_path: Path) -> None:
    """Also where the folder's name means something to a shell, and to the library that draws the tables."""
    environment = {key: value for key, value in os.environ.items() if key != "MMPT_HOME"}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": True}
    home = "it's [red]here"
    shown = subprocess.run([sys.executable, "-m", "mmpt", "demo", "--home", home], **options).stdout
    assert home in shown.partition("It all lies in")[2]
    command = shown.partition("MMPT_HOME=")
    lines = (command[1] + command[2]).splitlines()
    end = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
    (tmp_path / home / "clip.png").unlink()
    again = subprocess.run(["sh", "-c", "\n".join(lines[: end + 1])], **options).stdout
    assert "best moment" in again and again.strip() in shown
    assert (tmp_path / home / "clip.png").is_file()
