"""What a terminal is shown holds nothing that it would obey."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mmpt.cli import progress
from mmpt.cli.console import legible
from mmpt.cli.main import main


def test_control_characters_and_broken_bytes_become_codes():
    assert legible("a\x1b[31m\x07\x9b\r\x7fb") == r"a\x1b[31m\x07\x9b\x0d\x7fb"
    assert legible("b\udce9.mp4") == r"b\udce9.mp4"
    assert legible(Path("na\u00efve \U0001f95e\tand\nmore")) == "na\u00efve \U0001f95e\tand\nmore"


def test_an_error_and_a_note_name_a_hostile_file_without_what_it_would_do(tmp_path: Path, capsys):
    hostile = tmp_path / "a\x1b]0;owned\x07.mp4"
    hostile.write_bytes(b"no video")
    assert main(["index", str(hostile), "--library", str(tmp_path / "library"), "--model", str(tmp_path)]) == 2
    assert main(["search", "--like", f"{hostile}@x", "--library", str(tmp_path)]) == 2
    assert main(["chapters", str(hostile), "--steps", str(hostile)]) == 2
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err and r"a\x1b]0;owned\x07.mp4" in told.err


def test_a_bar_names_a_hostile_file_without_what_it_would_do(monkeypatch: pytest.MonkeyPatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(progress, "err", terminal)
    with progress.second_bar() as bar:
        bar.begin("a\x1b]0;owned\x07.mp4", 1, 2, 10)
    assert isinstance(terminal.file, io.StringIO)
    assert r"1/2 a\x1b]0;owned" in terminal.file.getvalue() and "\x1b]0;" not in terminal.file.getvalue()
