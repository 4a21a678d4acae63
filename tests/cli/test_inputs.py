"""Which words of a command line are videos, and which are sentences."""

from pathlib import Path

import pytest

from mmpt.cli.inputs import find_videos, split_inputs


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


def test_folders_behind_links_are_looked_into_once(tmp_path: Path) -> None:
    inside, outside = tmp_path / "videos", tmp_path / "disk"
    for path in (inside / "a.mp4", inside / "z/b.mp4", outside / "c.mp4", outside / "deep/d.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (inside / "link").symlink_to(outside)
    (inside / "deep").symlink_to(outside / "deep")
    (inside / "a").symlink_to(inside / "z")  # its own path counts, although the link stands before it
    (outside / "loop").symlink_to(inside)
    found = [inside / name for name in ("a.mp4", "deep/d.mp4", "link/c.mp4", "z/b.mp4")]
    assert find_videos([str(inside)]) == (found, [])
    assert split_inputs([str(inside)]) == (found, [])


def test_hidden_files_of_a_folder_are_no_videos(tmp_path: Path) -> None:
    for name in ("clip.mp4", "._clip.mp4", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert find_videos([str(tmp_path)]) == split_inputs([str(tmp_path)]) == ([tmp_path / "clip.mp4"], [])
    assert find_videos([str(tmp_path / ".hidden.mp4")])[0] == [tmp_path / ".hidden.mp4"]  # asked for by name


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
