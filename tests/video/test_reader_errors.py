"""What cannot be read says so clearly; what is damaged gives what is left of it, and says where it is lost."""

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from av import error as av_error
from av.video.frame import VideoFrame

from mmpt.video import opening
from mmpt.video.errors import VideoDamageWarning, VideoError
from mmpt.video.reader import probe, read_frames, read_seconds
from tests.video.rendering import Track, moving, read, render

GROUPS = {"g": "10", "bf": "0"}  # a key frame every 0.4 s


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds in every usual container; the mp4 has its index in front, so that a cut leaves it readable."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("clip.mkv", "clip.avi", "index_last.mp4"):
        render(folder / name, Track(moving(100, 96, 64), options=GROUPS))
    render(folder / "clip.mp4", Track(moving(100, 96, 64), options=GROUPS), movflags="faststart")
    render(folder / "bframes.mp4", Track(moving(100, 96, 64), options={"g": "10", "bf": "3"}), movflags="faststart")
    return folder


def cut(path: Path, share: float, to: Path) -> Path:
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to


def refuse(path: Path, message: str, error: type[Exception] = VideoError) -> None:
    """Every way in refuses it, with the path in the message."""
    for read_it in (lambda: list(read_frames(path)), lambda: list(read_seconds(path)), lambda: probe(path)):
        with pytest.raises(error, match=message) as caught:
            read_it()
        assert str(path) in str(caught.value)


# --- files that are no video ------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "none.mp4", "no video at .*; check the path", FileNotFoundError)


def test_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "is a folder, not a video; name one file in it")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    refuse(path, r"is empty \(0 bytes\); fetch or copy")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (av_error.PermissionError(errno.EACCES, "Permission denied"), r"may not be read by this user \(permission den"),
        (OSError(errno.EMFILE, "Too many open files"), r"cannot be opened \(Too many open files\)"),
    ],
)
def test_file_that_may_not_be_opened(
    clips: Path, monkeypatch: pytest.MonkeyPatch, raised: OSError, message: str
) -> None:
    """Raised by hand: the tests may run as a user who may read everything."""

    def refused(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("av.open", refused)
    refuse(clips / "clip.mp4", message)


def test_disk_that_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(5000))

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", refused)
    refuse(path, r"cannot be read \(Input/output error\); try again")


def test_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    refuse(path, "is not an ordinary file")


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes.mkv"])
def test_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("first line\nsecond line\n" * 100)
    refuse(path, "is not a video")


def test_noise(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(50_000))
    refuse(path, "is not a video that can be read")


@pytest.mark.parametrize("name", ["picture.png", "picture.mp4"])
def test_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = VideoFrame.from_ndarray(moving(1)[0], format="rgb24")
    frame.save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(path)
    refuse(path, "is not a video: it reads as .*; give a video file")


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile part.ts\n",
    "concat": "# parts\nfile 'part.ts'\nfile 'part.ts'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\npart.ts\n#EXT-X-ENDLIST\n",
    "dash": "<?xml version='1.0'?>\n<!-- a -->\n<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period/></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 5004 RTP/AVP 96\r\n",
    "pls": "\ufeff[playlist]\nFile1=part.ts\n",
    "asx": "<asx version='3'><entry><ref href='part.ts'/></entry></asx>",
    "xspf": "<?xml version='1.0'?>\n<playlist version='1' xmlns='http://xspf.org/ns/0/'></playlist>",
    "address": "\n http://localhost/part.ts\n",
    "names": "part.ts\npart.ts\n",
}


@pytest.mark.parametrize("ending", [".mp4", ".m3u8"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlist_of_other_files(tmp_path: Path, kind: str, ending: str) -> None:
    (tmp_path / "part.ts").write_bytes(b"G" * 376)
    path = tmp_path / f"list{ending}"
    path.write_text(PLAYLISTS[kind])
    refuse(path, "is a playlist, not a video: it reads as .*, which only names other files")


@pytest.mark.parametrize("head", ["#\n" * 5000, "\n" * 9000, ""])
def test_playlist_opens_nothing_even_where_its_head_is_hidden(tmp_path: Path, head: str) -> None:
    """One that names a pipe would wait for ever, one that names itself would open itself until the stack is full."""
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "list.mp4"
    for name in ("pipe", "list.mp4"):
        path.write_text(f"{head}ffconcat version 1.0\nfile {name}\n")
        refuse(path, "is (a playlist, )?not a video")


def test_numbered_pictures_are_not_opened(tmp_path: Path) -> None:
    """libav takes such a name for a pattern of many files."""
    VideoFrame.from_ndarray(moving(1)[0], format="rgb24").save(tmp_path / "img1.png")
    path = tmp_path / "img%d.png"
    path.write_bytes((tmp_path / "img1.png").read_bytes())
    refuse(path, "is not a video")


def test_formats_that_read_other_files_are_not_among_those_that_are_opened() -> None:
    others = {
        "concat",
        "hls",
        "dash",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "image2",
        "imf",
        "vobsub",
        "lavfi",
        "webm_dash_manifest",
    }
    assert not others & set(opening.FORMATS.split(","))


def test_opening_that_takes_too_long_is_given_up(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPENING_TIMEOUT_S", 0.0)
    refuse(clips / "clip.mp4", "could not be opened within 0 s")


def test_sound_only(tmp_path: Path) -> None:
    refuse(render(tmp_path / "sound.mp4", audio="aac"), "has no video stream, only audio; give a file with moving pict")


def test_sound_with_a_cover(tmp_path: Path) -> None:
    cover = Track(moving(1), codec="mjpeg", pix_fmt="yuvj420p", cover=True)
    path = render(tmp_path / "song.mp4", cover, audio="aac")
    refuse(path, "has no video stream, only a cover picture and audio")


@pytest.mark.parametrize("name", ["header.mkv", "header.mp4", "header.avi"])
def test_header_without_frames(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / name, Track([], codec="mpeg4"))
    refuse(path, "no frame of it can be decoded|is cut off or damaged before anything|no video stream, only a header")


def test_frames_that_cannot_be_decoded(clips: Path, tmp_path: Path) -> None:
    data = bytearray((clips / "index_last.mp4").read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path = tmp_path / "hollow.mp4"
    path.write_bytes(data)
    refuse(path, r"has a video stream \(h264\) but no frame of it can be decoded")


def test_only_part_of_the_header_is_there(clips: Path, tmp_path: Path) -> None:
    refuse(cut(clips / "index_last.mp4", 0.8, tmp_path / "a.mp4"), "begins like an mp4 or mov file but is cut off")
    refuse(cut(clips / "clip.mkv", 0.001, tmp_path / "a.mkv"), "begins like an mkv or webm file but is cut off")
    refuse(cut(clips / "clip.avi", 0.001, tmp_path / "a.avi"), "begins like an avi file but is cut off")


@pytest.mark.skipif(os.name != "posix", reason="file names like these are for POSIX systems")
@pytest.mark.parametrize(
    "name", ["http:clip.mp4", "concat:clip.mp4", "clip%03d.mp4", "-i clip.mp4", "clip\n.mp4", "é.mp4"]
)
def test_names_that_mean_something_to_ffmpeg_are_just_names(clips: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((clips / "clip.mp4").read_bytes())
    assert read(path).shape == (120, 32, 32, 3)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"fps": 0}, "fps is 0; frames per second must be above 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"size": 0}, "size is 0; give the side of the frames in pixels"),
        ({"start": -1}, "start is -1; give seconds from the video's beginning"),
        ({"start": 2, "end": 2}, "end is 2 and start is 2; the end must come after the start"),
        ({"chunk_seconds": 0}, "chunk_seconds is 0"),
    ],
)
def test_numbers_out_of_range(clips: Path, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frames(clips / "clip.mp4", **numbers)  # pyright: ignore[reportArgumentType]


# --- damage -----------------------------------------------------------------------------------------------------------


def read_damaged(path: Path, message: str, **part: float) -> np.ndarray:
    """Read with the warning it must give, and see that strict reading refuses."""
    with pytest.warns(VideoDamageWarning, match=message) as caught:
        frames = read(path, start=part.get("start"), end=part.get("end"))
    assert len(caught) == 1
    assert str(path) in str(caught[0].message)
    with pytest.raises(VideoError, match=r"is damaged from second .* strict reading stops there") as refused:
        list(read_frames(path, 30, 32, part.get("start"), part.get("end"), strict=True))
    assert str(path) in str(refused.value)
    return frames


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "bframes.mp4"])
def test_cut_off_part_way(clips: Path, tmp_path: Path, name: str) -> None:
    whole = read(clips / name)
    path = cut(clips / name, 0.6, tmp_path / name)
    frames = read_damaged(
        path, r"is .*lost from second [12]\.\d\d on \(.*\), about [12]\.\d s; all else was read, up to"
    )
    assert 50 < len(frames) < 90
    intact = len(frames) - 6  # the last ones may have been made up for what is missing
    assert np.array_equal(frames[:intact], whole[:intact])


def test_cut_off_video_gives_the_seconds_before(clips: Path, tmp_path: Path) -> None:
    path = cut(clips / "clip.mkv", 0.6, tmp_path / "cut.mkv")
    with pytest.warns(VideoDamageWarning, match="lost from second 2"):
        blocks = list(read_seconds(path, 30, 32))
    assert len(blocks) == 3
    assert np.array_equal(np.concatenate(blocks[:2]), read(clips / "clip.mkv")[:60])


def test_part_before_the_cut_is_read_in_silence(clips: Path, tmp_path: Path) -> None:
    path = cut(clips / "clip.mkv", 0.6, tmp_path / "cut.mkv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = read(path, end=1)
        assert len(list(read_frames(path, 30, 32, end=1, strict=True))) == 1
    assert np.array_equal(frames, read(clips / "clip.mkv", end=1))


def test_strict_reading_gives_the_whole_chunks_before_the_damage(clips: Path, tmp_path: Path) -> None:
    chunks = read_frames(cut(clips / "clip.mkv", 0.6, tmp_path / "cut.mkv"), 30, 32, strict=True)
    assert np.array_equal(next(chunks), read(clips / "clip.mkv")[:30])
    assert len(next(chunks)) == 30
    with pytest.raises(VideoError, match=r"is damaged from second 2.*says it lasts 4\.0 s but ends there"):
        next(chunks)


def holes(path: Path, to: Path, begin: float, end: float) -> Path:
    """Overwrite a share of a file's frames."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") if b"mdat" in data else 0
    first, last = (start + int((len(data) - start) * share) for share in (begin, end))
    data[first:last] = bytes(last - first)
    to.write_bytes(data)
    return to


def test_damage_in_the_middle_is_read_around(clips: Path, tmp_path: Path) -> None:
    whole = read(clips / "clip.mp4")
    path = holes(clips / "clip.mp4", tmp_path / "hole.mp4", 0.4, 0.5)
    frames = read_damaged(path, r"is damaged from second 1\.\d\d on \(.*\), 0\.\d\d s in \d+ place.*up to second 4\.00")
    assert len(frames) == len(whole)
    assert np.array_equal(frames[:45], whole[:45])
    assert np.array_equal(frames[75:], whole[75:])  # the next key frame mends it


def test_part_after_the_damage_is_read_in_silence(clips: Path, tmp_path: Path) -> None:
    path = holes(clips / "clip.mp4", tmp_path / "hole.mp4", 0.4, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read(path, start=3), read(clips / "clip.mp4", start=3))
        assert np.array_equal(read(path, end=1), read(clips / "clip.mp4", end=1))
    assert len(read_damaged(path, "is damaged from second", start=1, end=3)) == 60


def test_damage_in_the_last_frames(clips: Path, tmp_path: Path) -> None:
    """Several decoding threads hold frames back; none is lost because one of the last packets is damaged."""
    whole = read(clips / "bframes.mp4")
    path = holes(clips / "bframes.mp4", tmp_path / "hole.mp4", 0.985, 1)
    frames = read_damaged(path, r"is (damaged|lost) from second 3\.\d\d on")
    assert len(frames) >= len(whole) - 6
    assert np.array_equal(frames[:108], whole[:108])


def test_intact_clips_are_read_in_silence(clips: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in clips.iterdir():
            assert len(list(read_frames(path, 30, 32, strict=True))) == 4


def test_real_damaged_video(real_videos: Path) -> None:
    frames = read_damaged(real_videos / "corrupted.mp4", r"is damaged from second 2\.80 on")
    assert len(frames) == 150
