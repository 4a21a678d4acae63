"""Which words of a command line are videos, and which are sentences."""

from pathlib import Path

import pytest

from mmpt.cli.inputs import split_inputs


def test_words_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noending").touch()
    long = "a very long sentence " * 50
    videos, texts = split_inputs(["noending", "typo.MP4", "two boys arm-wrestle", "Mr. and Mrs.", long])
    assert videos == [Path("noending"), Path("typo.MP4")]
    assert texts == ["two boys arm-wrestle", "Mr. and Mrs.", long]


def test_names_of_users_who_do_not_exist_begin_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.mp4").touch()
    videos, texts = split_inputs(["~/a.mp4", "~nosuchuser went home", "~nosuchuser/a.mp4"])
    assert videos == [tmp_path / "a.mp4", Path("~nosuchuser/a.mp4")]
    assert texts == ["~nosuchuser went home"]


def test_a_folder_gives_the_files_below_it(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").mkdir()
    for name in ("b.MKV", "notes.txt", "x.mp4/a.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nothing")
    assert split_inputs([str(tmp_path)]) == ([tmp_path / name for name in ("b.MKV", "lost.mp4", "x.mp4/a.mp4")], [])


@pytest.mark.parametrize("name", ["empty", "x.mp4"])
def test_a_folder_without_videos_names_the_way_for_sentences(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"is a folder that holds no video; .* goes to --text"):
        split_inputs([str(tmp_path / name)])


@pytest.mark.parametrize("word", ["", "  ", "\n"])
def test_empty_words_are_no_folder(word: str) -> None:
    with pytest.raises(ValueError, match="one of the words is empty"):
        split_inputs([word])


@pytest.mark.parametrize("word", ["https://example.org/a.mp4", "RTSP://camera/1", "s3://bucket/a.mkv", "file:///a.mp4"])
def test_addresses_are_not_taken_for_paths(word: str) -> None:
    with pytest.raises(ValueError, match=r"is an address, and only files on this machine are read; .*--text"):
        split_inputs([word])


def test_sentences_about_addresses_are_sentences() -> None:
    assert split_inputs(["https://example.org is on a screen"]) == ([], ["https://example.org is on a screen"])
