"""Which words of a command line are videos, and which are sentences."""

import os
from collections.abc import Callable
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


# --- endings ----------------------------------------------------------------------------------------------------------

ENDINGS = (
    *("3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "gif", "m2ts", "m2v", "m4v", "mkv", "mov", "mp4", "mpe"),
    *("mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "qt", "rm", "ts", "vob", "webm", "wmv", ""),
)


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_every_ending_of_videos_is_known_in_letters_of_any_size(tmp_path: Path, change: Callable[[str], str]) -> None:
    files = sorted(tmp_path / f"v{number}.{change(ending)}" for number, ending in enumerate(ENDINGS))
    for file in files:
        file.touch()
    assert find_videos([str(tmp_path)]) == split_inputs([str(tmp_path)]) == (files, [])


def test_a_sentence_that_ends_in_a_dot_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x_2.").touch()
    assert split_inputs(["x_2.", "x_3.3G2", "A dog runs."]) == ([Path("x_2."), Path("x_3.3G2")], ["A dog runs."])


HEADS = {  # the first bytes of real files
    "mp4": b"\0\0\0\x20ftypisom",
    "mov": b"\0\0\0\x08wide\0\0\0\0mdat",
    "mkv": b"\x1a\x45\xdf\xa3\x01\0\0\0",
    "avi": b"RIFF\x24\x10\0\0AVI LIST",
    "flv": b"FLV\x01\x05",
    "wmv": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "vob": b"\0\0\x01\xba\x44\0",
    "m2v": b"\0\0\x01\xb3\x16\0",
    "264": b"\0\0\0\x01\x67\x64",
    "ogv": b"OggS\0\x02" + bytes(22) + b"\x80theora",
    "ts": (b"G" + bytes(187)) * 3,
    "m2ts": (bytes(4) + b"G" + bytes(187)) * 3,
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("name", ["clip", "clip.download", "clip.mp4.part"])
def test_what_begins_like_a_video_and_is_passed_over_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, name: str
) -> None:
    (tmp_path / "known.mp4").touch()
    (tmp_path / name).write_bytes(HEADS[kind] + bytes(400))
    assert find_videos([str(tmp_path)])[0] == [tmp_path / "known.mp4"]
    (told,) = caplog.messages
    assert told.startswith(f"below {tmp_path}, files that begin like videos are passed over for their endings: 1, ")
    assert str(tmp_path / name) in told


def test_many_passed_over_are_counted_with_an_example(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(12):
        (tmp_path / f"clip{number:02}.xyz").write_bytes(HEADS["mkv"])
    with pytest.raises(ValueError, match=r"holds no video; known endings are .*3g2 .*webm"):
        find_videos([str(tmp_path)])
    assert "passed over for their endings: 12, such as" in caplog.text
    assert "clip00.xyz" in caplog.text and "clip01.xyz" not in caplog.text


def test_what_only_lies_beside_videos_is_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Text, pictures, sound in a video's container; and what would wait for ever or cannot be read."""
    (tmp_path / "known.mp4").touch()
    (tmp_path / "notes.xyz").write_text("RIFF and FLV are containers\n" * 20)
    (tmp_path / "song.m4a").write_bytes(HEADS["mp4"])
    (tmp_path / "picture").write_bytes(b"\0\0\0\x20ftypheic")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    assert find_videos([str(tmp_path)])[0] == [tmp_path / "known.mp4"]
    assert caplog.messages == []


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by hand: the tests may run as a user who may read everything."""
    monkeypatch.setattr("mmpt.cli.inputs.videos_below", lambda folder: ([], [f"the folder {folder} cannot be read"]))
    told: list[str] = []
    assert split_inputs([str(tmp_path), "a dog"], told.append) == ([], ["a dog"])
    assert told == [f"the folder {tmp_path} cannot be read"]
