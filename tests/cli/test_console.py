"""What a terminal is shown holds nothing that it would obey."""

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmpt.cli import console, progress
from mmpt.cli.console import LegibleConsole
from mmpt.cli.main import main
from mmpt.cli.streams import LegibleStream, legible_streams
from mmpt.utils.legible import legible, message, one_line, undirected


def test_control_characters_and_broken_bytes_become_codes():
    assert legible("a\x1b[31m\x07\x9b\r\x7fb") == r"a\x1b[31m\x07\x9b\x0d\x7fb"
    assert legible("b\udce9.mp4") == r"b\udce9.mp4"
    assert legible("a\u202egpj.mp4\u2066\u200f\u2028") == r"a\u202egpj.mp4\u2066\u200f\u2028"
    assert one_line("a\nmmpt: error: b\t") == r"a\nmmpt: error: b\t"
    assert undirected("\u202b\u05e9\u05dc\u05d5\u05dd\u202c \u200fa") == "\u05e9\u05dc\u05d5\u05dd a"
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


def test_lines_of_a_message_after_its_first_are_indented():
    assert message("no a\nmmpt: error: b.mp4\n") == "no a\n  mmpt: error: b.mp4\n"
    assert message("wrong:\n  - this\n\ttab") == "wrong:\n  - this\n\ttab"
    assert message("no x/a\nb.mp4: read\non", ["a\nb.mp4"]) == "no x/a\\nb.mp4: read\n  on"


HOSTILE = "a\x1b]0;owned\n\u202eb\udcff.mp4"
SHOWN = r"a\x1b]0;owned\n\u202eb\udcff.mp4"


def printed(*shown: object, styled: bool = False, **how: bool) -> str:
    stream = io.StringIO()
    console = LegibleConsole(file=stream, force_terminal=styled, width=100, highlight=False, markup=False)
    console.print(*shown, **how)
    return stream.getvalue()


@pytest.mark.parametrize("as_text", [str, Text], ids=["str", "Text"])
def test_what_is_printed_shows_codes_wherever_a_name_stands(as_text: type):
    name = as_text(HOSTILE)
    assert printed(name, soft_wrap=True) == f"{SHOWN}\n"
    assert not set("\x1b\u202e\udcff") & set(printed(Padding(name, 0)))
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    rows = [line for line in printed(table).splitlines() if "owned" in line]
    assert sum(SHOWN in row for row in rows) >= 2, "the head and the row are a line each"
    assert not set("\x1b\u202e\udcff") & set(printed(table))


def test_codes_keep_the_style_of_what_they_stand_for():
    name = Text.assemble("see ", ("a\x1bb", "bold"))
    shown = Text.from_ansi(printed(name, styled=True).strip())
    assert shown.plain == r"see a\x1bb" and "".join(shown.plain[s.start : s.end] for s in shown.spans) == r"a\x1bb"


def test_the_door_stands_before_both_streams_and_is_taken_down_again(monkeypatch: pytest.MonkeyPatch):
    shown, told = Terminal(), Terminal()
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.setattr("sys.stderr", told)
    with legible_streams(["score", f"--plot=x/{HOSTILE}"]):
        assert isinstance(sys.stdout, LegibleStream) and isinstance(sys.stderr, LegibleStream)
        sys.stdout.write(f"{HOSTILE}\n")
        sys.stderr.write(f"{HOSTILE}\n")
        console.err.print(HOSTILE, soft_wrap=True)
        logging.StreamHandler().emit(logging.LogRecord("x", 30, "x", 1, "log %s", (HOSTILE,), None))
    assert (sys.stdout, sys.stderr) == (shown, told)
    assert shown.getvalue() == f"{SHOWN}\n".replace(r"\n\u", "\n\\u")
    assert told.getvalue() == f"{SHOWN}\n{SHOWN}\nlog {SHOWN}\n"


def test_results_in_a_pipe_stay_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with legible_streams([]):
        sys.stdout.write(HOSTILE)
        assert sys.stdout.getvalue() == HOSTILE  # pyright: ignore[reportAttributeAccessIssue]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_of_a_bar_pass_the_door_while_rich_stands_before_it(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "err", LegibleConsole(stderr=True, force_terminal=True, width=60))
    with legible_streams([]), progress.count_bar(HOSTILE, 3) as advance:
        advance(1)
        sys.stderr.write("a warning\n")
    assert "\x1b[2K" in terminal.getvalue() and "\\x1b[2K" not in terminal.getvalue()
    assert r"a\x1b]0;owned" in terminal.getvalue() and "\x1b]0;" not in terminal.getvalue()


@pytest.mark.parametrize("words", [["score", f"--{HOSTILE}", "a"], [HOSTILE], ["score", "--runtime", HOSTILE]])
def test_wrong_words_are_told_without_what_they_would_do(words: list[str], capsys):
    with pytest.raises(SystemExit):
        main(words)
    told = capsys.readouterr().err
    assert "owned" in told and "\x1b" not in told and "\u202e" not in told and "\n\\u202e" not in told
