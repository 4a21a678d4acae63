"""Intact files that are made oddly, and damaged ones of kinds that are met in the world: read as ffmpeg reads them."""

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from mmpt.video.cutting import cut_clip
from mmpt.video.decoder import Shrinker
from mmpt.video.errors import VideoDamageWarning, VideoError
from mmpt.video.mp4 import shown_until
from mmpt.video.reader import probe, read_frames
from mmpt.video.thumbnails import thumbnail
from tests.video.remuxing import joined, move_times, remux
from tests.video.rendering import Track, lossless, moving, read, render, shades

QUICK_VP8 = {"deadline": "realtime", "cpu-used": "8", "g": "10"}


def read_in_silence(path: Path, fps: float = 30, **part: float) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(path, fps, 16, **part)


def read_with_damage(path: Path, message: str, fps: float = 30) -> np.ndarray:
    with pytest.warns(VideoDamageWarning, match=message):
        frames = read(path, fps, 16)
    with pytest.raises(VideoError, match="strict reading stops there"):
        list(read_frames(path, fps, 16, strict=True))
    return frames


# --- tags and streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["avi", "mp4", "mov", "mkv", "flv", "webm"])
def test_tags_that_are_not_utf8(tmp_path: Path, ending: str) -> None:
    codec = {"avi": "mpeg4", "webm": "libvpx"}.get(ending, "libx264")
    source = render(tmp_path / "source.mkv", Track(moving(10), codec=codec))
    path = tmp_path / f"clip.{ending}"
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        after.metadata["title"] = "XXTITLEXX"
        copy = after.add_stream_from_template(before.streams.video[0])
        copy.metadata["handler_name"] = copy.metadata["title"] = "XXHANDLERXX"
        for packet in before.demux():
            if packet.size:
                packet.stream = copy
                after.mux(packet)
    whole = read(path)
    data = path.read_bytes()
    assert b"XXTITLEXX" in data
    path.write_bytes(data.replace(b"XX", b"\x8c\xe9"))
    assert np.array_equal(read_in_silence(path, 30), read(path, 30, 16)) and np.array_equal(read(path), whole)
    assert probe(path).width == 64
    assert thumbnail(path, 0.2)
    cut_clip(path, 0, 0.4, tmp_path / "cut.mkv")
    assert len(read(tmp_path / "cut.mkv")) == 12


def test_stream_that_appears_after_the_header(tmp_path: Path) -> None:
    """Two recordings on other PIDs, joined: only what was there at the opening is read, as by ffmpeg."""
    first = render(tmp_path / "a.ts", Track(shades([60] * 50)), mpegts_start_pid="256")
    second = render(tmp_path / "b.ts", Track(shades([180] * 50)), audio="mp2", mpegts_start_pid="512")
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    frames = read(path, 25, 16)
    assert np.array_equal(frames, read(first, 25, 16))
    assert np.array_equal(read(path, 25, 16, start=1), frames[25:])
    cut_clip(path, 0.5, 1.5, tmp_path / "cut.mp4")


# --- where time begins and ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("ending", ["mkv", "webm", "wmv", "mp4", "mov", "flv", "nut", "ts"])
def test_late_start_is_no_damage(tmp_path: Path, ending: str, audio: bool) -> None:
    """Matroska and Windows Media count a file's duration from 0, mp4 from where the file begins."""
    codec = {"webm": "libvpx", "wmv": "msmpeg4"}.get(ending, "libx264")
    sound = {"webm": "libopus", "flv": "aac"}.get(ending, "mp2")
    options = QUICK_VP8 if ending == "webm" else {}
    source = render(
        tmp_path / f"source.{ending}",
        Track(moving(50), codec=codec, options=options),
        audio=sound if audio and ending != "flv" else None,
        audio_seconds=2,
    )
    path = tmp_path / f"late.{ending}"
    with av.open(str(source)) as before, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as after:
        copies = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.size:
                packet.pts = None if packet.pts is None else packet.pts + round(3 / packet.time_base)
                packet.dts = None if packet.dts is None else packet.dts + round(3 / packet.time_base)
                packet.stream = copies[packet.stream_index]
                after.mux(packet)
    frames = read_in_silence(path)
    assert 60 <= len(frames) <= 62
    assert len(list(read_frames(path, 30, 16, strict=True))) in (2, 3)
    info = probe(path)
    assert info.duration is None or 1.9 < info.duration < 2.2 or ending == "nut"


def test_late_start_that_is_cut_off_is_told(tmp_path: Path) -> None:
    times = [3 + k / 25 for k in range(100)]
    path = render(tmp_path / "late.mkv", Track(moving(100), times=times, options={"bf": "0"}))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    frames = read_with_damage(path, r"the file says it lasts 4\.0 s but ends there")
    assert 50 < len(frames) < 90


VARIABLE = {  # when pictures are shown, in seconds; the last is shown for 0.04 s
    "three": [0, 6.3, 20],
    "steps": [0, 7, 19, 20, 41, 70],
    "bursts": [0, 0.04, 0.08, 0.12, 5, 5.04, 5.08, 30],
    "slides": [0, 1, 2, 3, 4, 5, 6, 7.5, 20.2],
    "pause": [0, 0.04, 0.08, 0.12, 0.16, 60],
}


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "flv"])
@pytest.mark.parametrize("name", VARIABLE)
def test_last_picture_is_not_held_past_the_end(tmp_path: Path, name: str, ending: str) -> None:
    """Of reordered packets libav takes the time to the one stored next for a picture's duration."""
    times = VARIABLE[name]
    options = {"bf": "3", "b-adapt": "0", "qp": "0"}
    path = render(
        tmp_path / f"clip.{ending}", Track(shades(range(20, 20 + 20 * len(times), 20)), times=times, options=options)
    )
    frames = read_in_silence(path, 10)
    assert 0 <= len(frames) - 10 * times[-1] <= 1
    shown = (frames[:, 0, 0, 0].astype(float) / 20).round() - 1
    assert shown.tolist() == [
        max(k for k, time in enumerate(times) if round(10 * time) <= j) for j in range(len(shown))
    ]
    if ending in ("mp4", "mov"):
        assert probe(path).duration == pytest.approx(times[-1] + 0.04, abs=0.01)


def test_end_of_a_track_is_read_from_the_header(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mp4", Track(moving(50)), audio="aac", audio_seconds=3)
    assert shown_until(path, 1) == 2
    assert shown_until(path, 7) is None
    data = path.read_bytes()
    header = data.index(b"moov")
    for number in range(header - 8, header + 200, 3):  # whatever is overwritten, there is no error
        path.write_bytes(data[:number] + b"\xff" * 8 + data[number + 8 :])
        shown_until(path, 1)


# --- pictures that change their size ----------------------------------------------------------------------------------


def changing_webm(folder: Path) -> Path:
    tracks = [Track(moving(20, *size), codec="libvpx", options=QUICK_VP8) for size in ((96, 64), (48, 32), (64, 96))]
    return joined(folder / "clip.webm", *tracks)


def changing_ts(folder: Path) -> Path:
    tracks = [Track(moving(20, *size), options={"g": "10", "bf": "0"}) for size in ((96, 64), (160, 120))]
    return joined(folder / "clip.ts", *tracks, format="mpegts")


@pytest.mark.parametrize("make", [changing_webm, changing_ts])
def test_part_after_a_change_of_resolution_is_that_of_the_whole(
    tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmpt.video.reader.SEEK_FROM", 0.0)
    path = make(tmp_path)
    full = read(path, 30, 16)
    for start in (0.5, 0.9, 1.1, 1.5):
        assert np.array_equal(read(path, 30, 16, start=start), full[math.ceil(start * 30 - 1e-6) :])


@pytest.mark.parametrize("make", [changing_webm, changing_ts])
def test_clips_and_thumbnails_keep_the_shape_of_the_first_picture(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    for ending in ("mp4", "webm"):
        begin, end = cut_clip(path, 1, 1.4, tmp_path / f"cut.{ending}")
        cut, whole = read(tmp_path / f"cut.{ending}", 30, 16), read(path, 30, 16, begin, end)
        count = min(len(cut), len(whole))
        assert count >= 10
        assert np.abs(cut[:count].astype(int) - whole[:count]).mean() < 8
    for second in (0.2, 1.2):
        with av.open(io.BytesIO(thumbnail(path, second, 96))) as picture:
            assert (picture.streams.video[0].width, picture.streams.video[0].height) == (96, 64)


@pytest.mark.parametrize(("width", "height"), [(4, 16_000), (16_000, 4)])
def test_thin_pictures_are_cropped_before_they_are_scaled(
    tmp_path: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scaled first, each frame would take 600 MB."""
    long = np.linspace(0, 255, max(width, height)).astype(np.uint8)
    picture = np.broadcast_to(long[None, :, None] if width > height else long[:, None, None], (height, width, 3))
    path = render(tmp_path / "thin.mov", lossless([np.ascontiguousarray(picture)] * 2, mov=True))
    steps: list[tuple[str, str]] = []
    original = Shrinker._steps
    monkeypatch.setattr(Shrinker, "_steps", lambda shrinker, frame: steps.extend(original(shrinker, frame)) or steps)
    assert len(read(path, 25, 224)) == 2
    assert [name for name, _ in steps] == ["crop", "scale", "crop", "format"]
    assert max(map(int, steps[1][1].split(":"))) < 2_000
    monkeypatch.undo()
    frames = read(path, 25, 32)
    assert np.abs(frames.astype(int) - 127).max() <= 1  # the middle
    assert thumbnail(path, 0)


@pytest.mark.parametrize("ratio", [12, 16, 17, 40])
def test_pictures_that_are_cropped_first_are_the_same(tmp_path: Path, ratio: int) -> None:
    picture = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (ratio, 1, 3), np.uint8), 20, 0), 20, 1)
    path = render(tmp_path / "long.mov", lossless([picture] * 2, mov=True))
    scaled = np.asarray(picture[(len(picture) - 20) // 2 :][:20], int)
    assert np.abs(read(path, 25, 20)[0] - scaled).max() <= 3


# --- timestamps -------------------------------------------------------------------------------------------------------


def shifted(which: range, seconds: float, *names: str) -> Callable[[int, Packet], None]:
    def change(number: int, packet: Packet) -> None:
        if number in which:
            for name in names or ("pts", "dts"):
                setattr(packet, name, getattr(packet, name) + round(seconds / packet.time_base))

    return change


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return {bf: render(folder / f"{bf}.mp4", Track(moving(100), options={"g": "25", "bf": bf})) for bf in ("0", "2")}


@pytest.fixture(scope="module")
def moved_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("moved")
    return {
        (ending, bf): render(
            folder / f"{bf}.{ending}", Track(moving(100), options={"g": "25", "bf": bf}), cluster_time_limit="400"
        )
        for ending in ("flv", "ts", "mkv")
        for bf in ("0", "2")
    }


@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize("seconds", [1.5, 6, 6000, -6000])
@pytest.mark.parametrize(
    ("ending", "which"),
    [
        *(("flv", range(at, at + count)) for at, count in ((0, 1), (40, 1), (40, 20), (97, 3), (99, 1))),
        *(("ts", range(at, at + count)) for at, count in ((0, 1), (40, 1), (40, 20))),
        *(("mkv", range(at, at + 1)) for at in (4, 8)),
    ],
)
def test_wrong_timestamps_that_the_rest_contradicts(
    tmp_path: Path, moved_sources: dict, ending: str, which: range, seconds: float, bf: str
) -> None:
    if which.start == 0 and (seconds < 0 or (ending == "ts" and seconds == 6000)):
        pytest.skip("nothing contradicts a first picture that is early; libav closes a far jump of MPEG-TS itself")
    path = move_times(moved_sources[ending, bf], tmp_path / f"clip.{ending}", which, seconds)
    frames = read_with_damage(path, "is damaged from second")
    assert 118 <= len(frames) <= 122


@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_one_wrong_presentation_time(tmp_path: Path, sources: dict[str, Path], ending: str, bf: str) -> None:
    path = remux(sources[bf], tmp_path / f"clip.{ending}", shifted(range(30, 31), 6000, "pts"))
    frames = read_with_damage(path, r"damaged from second [01]\.\d\d on \(a timestamp is off by (6,000|5,999)")
    expected = read(sources[bf], 30, 16)
    assert 119 <= len(frames) <= 121
    assert np.array_equal(frames[60:119], expected[60:119])


@pytest.mark.parametrize("bf", ["0", "2"])
def test_jump_past_the_end_that_the_header_names(tmp_path: Path, sources: dict[str, Path], bf: str) -> None:
    """Overwritten durations move all that follows, which contradicts nothing but the header."""
    data = sources[bf].read_bytes().replace(b"edts", b"free")  # libav leaves out what lies past an edit list's end
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(data)
    at = data.index(b"stts") + 4
    entry = data[at + 8 : at + 16]
    assert data[at : at + 8] == b"\0\0\0\0\0\0\0\1" and entry[:4] == b"\0\0\0\x64"  # one entry, of 100 packets
    far = (6_000 * 12_800).to_bytes(4, "big")
    table = b"\0\0\0\0\0\0\0\3" + b"".join(
        number.to_bytes(4, "big") + duration for number, duration in ((49, entry[4:]), (1, far), (50, entry[4:]))
    )
    changed = bytearray(data[:at] + table + data[at + 16 :])
    for name in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = data.index(name) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(table) - 16
        changed[place : place + 4] = size.to_bytes(4, "big")
    path = tmp_path / "clip.mp4"
    path.write_bytes(changed)
    frames = read_with_damage(path, "a timestamp is off by 6,000")
    assert np.abs(len(frames) - 120) <= 1
    assert np.array_equal(frames[:118], read(whole, 30, 16)[:118])


def test_copies_do_not_take_wrong_timestamps_along(tmp_path: Path, sources: dict[str, Path]) -> None:
    path = remux(sources["2"], tmp_path / "clip.ts", shifted(range(30, 31), 6000, "pts"))
    cut_clip(path, 0.5, 2, tmp_path / "cut.mp4")
    assert 40 <= len(read(tmp_path / "cut.mp4")) <= 66


# --- gaps -------------------------------------------------------------------------------------------------------------


def with_gaps(path: Path, *seconds: float) -> Path:
    return render(path, Track(shades(range(20, 20 * (len(seconds) + 2), 20)), times=[0, *seconds], options={"bf": "0"}))


@pytest.mark.parametrize("ending", ["mkv", "mp4", "flv"])
def test_picture_that_would_stand_still_for_days_is_not_repeated(tmp_path: Path, ending: str) -> None:
    path = with_gaps(tmp_path / f"gap.{ending}", 1, 20_000)
    frames = read_with_damage(
        path, r"lost from second 1\.\d\d on \(a picture would stand still for 19,999 s, longer than the 3,600 s"
    )
    assert len(frames) == 31


def test_bound_on_gaps_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_gaps(tmp_path / "gap.mkv", 1, 5_000)
    assert len(read_with_damage(path, "would stand still for 4,999 s", 1)) == 2
    count = sum(len(chunk) for chunk in read_frames(path, 1, 16, max_gap=5_000))
    assert count == 5_000
    monkeypatch.setenv("MMPT_MAX_GAP", "inf")
    assert len(read_in_silence(path, 1)) == 5_000
    monkeypatch.setenv("MMPT_MAX_GAP", "10")
    assert len(read_with_damage(path, "longer than the 10 s", 1)) == 2
    for wrong in ("0", "-1", "nan", "an hour"):
        monkeypatch.setenv("MMPT_MAX_GAP", wrong)
        with pytest.raises(ValueError, match=r"MMPT_MAX_GAP is .*; it must be seconds"):
            read_frames(path)
    with pytest.raises(ValueError, match="max_gap is 0"):
        read_frames(path, max_gap=0)


def test_many_gaps_below_the_bound_are_bounded_together(tmp_path: Path) -> None:
    path = with_gaps(tmp_path / "gaps.mkv", *range(1_000, 11_000, 1_000))
    assert path.stat().st_size < 30_000
    frames = read_with_damage(path, r"for 4,000 s in several places, longer than the 3,6\d\d s", 1)
    assert len(frames) == 3_001


def test_slides_of_an_ordinary_size_may_be_shown_for_hours(tmp_path: Path) -> None:
    slides = [np.random.default_rng(k).integers(0, 256, (240, 320, 3), np.uint8) for k in range(8)]
    path = render(tmp_path / "talk.mkv", Track(slides, times=range(0, 8_000, 1_000), options={"bf": "0", "qp": "10"}))
    assert len(read_in_silence(path, 0.1)) == 700


def test_last_picture_that_is_held_for_days(tmp_path: Path) -> None:
    """The end of a file is a gap as well: of one picture and a long silence, for example."""
    source = render(tmp_path / "source.mp4", Track(shades([20, 40]), options={"bf": "0"}))
    path = tmp_path / "held.mp4"

    def hold(number: int, packet: Packet) -> None:
        packet.duration = round(20_000 / packet.time_base) if number else packet.duration

    frames = read_with_damage(remux(source, path, hold), "would stand still for 20,000 s", 1)
    assert len(frames) == 1


def test_gap_of_an_hour_is_a_slide(tmp_path: Path) -> None:
    assert len(read_in_silence(with_gaps(tmp_path / "slide.mkv", 1, 3_500), 1)) == 3_500


def test_sparse_pictures_without_a_contradiction_are_kept(tmp_path: Path) -> None:
    times = [15.0 * k for k in range(40)]
    path = render(tmp_path / "lapse.mkv", Track(shades(range(20, 220, 5)), times=times, options={"bf": "2", "qp": "0"}))
    frames = read_in_silence(path, 1)
    assert len(frames) in (585, 586)


# --- encrypted files --------------------------------------------------------------------------------------------------

KEY = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16, "encryption_kid": "a7" * 16}


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_encrypted_file_is_called_encrypted(tmp_path: Path, ending: str) -> None:
    path, target = (
        render(tmp_path / f"clip.{ending}", Track(moving(25)), audio=None, audio_seconds=1, **KEY),
        tmp_path / "cut.mp4",
    )
    for read_it in (read, probe, lambda path: thumbnail(path, 0), lambda path: cut_clip(path, 0, 1, target)):
        with pytest.raises(VideoError, match=r"is encrypted .*; give a copy without protection"):
            read_it(path)
    assert not target.exists()


@pytest.mark.parametrize("name", [b"encv", b"drmi"])
def test_encrypted_coding_is_called_encrypted(tmp_path: Path, name: bytes) -> None:
    path = render(tmp_path / "clip.mp4", Track(moving(25)))
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", name + b"\0\0\0\0"))
    with pytest.raises(VideoError, match="is encrypted"):
        probe(path)


def element(name: str, content: bytes) -> bytes:
    """An element of Matroska: its id, a size of eight bytes, and what it holds."""
    return bytes.fromhex(name) + b"\x01" + len(content).to_bytes(7, "big") + content


def test_encrypted_matroska_is_called_encrypted(tmp_path: Path) -> None:
    key = element("47e1", b"\5") + element("47e2", b"k" * 16)
    encoding = element("6d80", element("6240", element("5033", b"\1") + element("5035", key)))
    video = element("d7", b"\1") + element("73c5", b"\1") + element("83", b"\1") + element("86", b"V_VP8")
    size = element("e0", element("b0", b"\x40") + element("ba", b"\x30"))
    header = element("1a45dfa3", element("4282", b"webm"))
    tracks = element("1654ae6b", element("ae", video + size + encoding))
    block = element("1f43b675", element("e7", b"\0") + element("a3", b"\x81\0\0\x80" + bytes(50)))
    path = tmp_path / "clip.webm"
    path.write_bytes(header + element("18538067", element("1549a966", b"") + tracks + block))
    with pytest.raises(VideoError, match="is encrypted"):
        probe(path)
