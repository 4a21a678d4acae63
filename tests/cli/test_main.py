"""The way into every command: options before and after its name, and what is said when something is wrong."""

import sys
import warnings

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
