"""The way into every command: options before and after its name, and what is said when something is wrong."""

import sys
import warnings
from pathlib import Path

import pytest

from mmpt.cli.main import main


def end(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.mark.parametrize("words", [["-v", "score"], ["score", "-v"], ["score", "a dog", "--verbose"]])
def test_verbose_works_before_and_after_the_command(words: list[str]) -> None:
    with pytest.raises(ValueError, match="no video among"):
        main([*words, "a bird"])


def test_without_verbose_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "a bird"]) == 2
    assert capsys.readouterr().err.startswith("mmpt: error: no video among")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["scorer", "score"], "invalid choice: 'scorer'"),
        (["--quiet", "score"], "unrecognized arguments: --quiet"),
        (["score", "a.mp4", "--quiet", "a dog"], "mmpt score: error: unrecognized arguments: --quiet"),
        (["score"], "mmpt score: error: the following arguments are required: VIDEO|SENTENCE"),
        (["download", "nothing"], "mmpt download: error: argument NAME: invalid choice: 'nothing'"),
        (["convert", "a.pt"], "mmpt convert: error: the following arguments are required: target"),
    ],
)
def test_wrong_words_are_told_with_the_usage(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, _, err = end(capsys, *words)
    assert code == 2 and err.startswith("usage: mmpt") and message in err


def test_help_of_all_and_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = end(capsys, "--help")
    assert code == 0 and all(name in out for name in ("score", "convert", "download", "doctor", "demo", "examples:"))
    code, out, _ = end(capsys, "score", "--help")
    assert code == 0 and out.startswith("usage: mmpt score ") and "Score videos against sentences" in out


def test_what_begins_with_a_dash_can_follow_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--", "-5 degrees", "-x"]) == 2
    assert "no video among ['-5 degrees', '-x']" in capsys.readouterr().err


def test_the_process_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning, list(warnings.filters), sys.stdout.errors, sys.stderr.errors
    assert main(["score", "a \udcff bird"]) == 2
    assert (warnings.showwarning, list(warnings.filters), sys.stdout.errors, sys.stderr.errors) == before
    assert "\\udcff" in capsys.readouterr().err


LATIN_1 = "x\udce9y"  # as Python keeps the bytes of another encoding
WRONG = "' is not valid UTF-8, nor the name of a file; write text in UTF-8"


@pytest.mark.parametrize(
    "words",
    [
        ("score", "a.mp4", LATIN_1),
        ("score", "a.mp4", "--text", f"a {LATIN_1}"),
        ("search", LATIN_1),
        ("search", "a", "--like", f"{LATIN_1}@0-2"),
        ("segment", "a.mp4", "--labels", f"a,{LATIN_1}"),
        ("segment", "a.mp4", "--labels", f"@{LATIN_1}"),
        ("index", "a.mp4", "--language", LATIN_1),
        ("extract", "a.mp4", "-o", "out", "--backbone", LATIN_1),
        ("train", "a.yaml", f"dataset.x={LATIN_1}"),
        ("evaluate", "a.yaml", f"dataset.x={LATIN_1}"),
        ("launch", "a.yaml", f"dataset.x={LATIN_1}"),
        ("serve", "--token", LATIN_1),
        ("chapters", "a.mp4", "--steps", "s.txt", "--model", LATIN_1),
    ],
    ids=lambda words: f"{words[0]}-{len(words)}",
)
def test_text_that_is_not_utf8_is_refused_before_anything_is_done(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("mmpt: error: '") and r"x\udce9y" in captured.err and WRONG in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_paths_that_are_not_utf8_are_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        (tmp_path / f"{LATIN_1}.mp4").write_bytes(b"no video")
    except OSError as error:
        pytest.skip(f"files cannot be named so here ({error})")
    words = (f"{LATIN_1}.mp4", f"missing{LATIN_1}.MKV")
    assert main(["extract", *words, "-o", f"out{LATIN_1}", "--backbone", "grid"]) == 1
    assert main(["chapters", words[0], "--steps", words[0]]) == 2
    told = capsys.readouterr().err
    assert told.count("mmpt: not extracted: ") == 2 and r"mmpt: error: x\udce9y.mp4 is not a video" in told


def test_what_a_codec_says_is_put_into_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever text that is not UTF-8 comes from, the message shows which it is."""
    monkeypatch.setattr("mmpt.cli.doctor.run", lambda _: f"x{'y' * 100} {LATIN_1} z".encode())
    assert main(["doctor"]) == 2
    told = capsys.readouterr().err
    assert r"x\udce9y z' is not valid UTF-8; write it in UTF-8" in told and "xyy" not in told and "codec" not in told


def test_a_traceback_shows_codes_as_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # put back afterwards
    with pytest.raises(ValueError) as caught:
        main(["score", "-v", "a \x1b[31mbird"])
    sys.excepthook(caught.type, caught.value, caught.tb)
    told = capsys.readouterr().err
    assert "Traceback" in told and "\x1b" not in told and "31mbird" in told
