"""Whose a subtitle file is, and in which language, as the names that programs write say it."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.text.subtitles import find_subtitles, video_name
from tests.conftest import SHARED

LANGUAGES = [
    *("en", "EN", "En", "eng", "ENG", "en-US", "en_GB", "en-us", "pt-BR", "zh-Hans", "zh-Hant-TW", "es-419", "en-orig"),
    *("sr-Latn", "en-x-autogen", "fil", "yue", "ceb", "iw", "und", "deu", "ger", "nob", "english", "German"),
    *("chs", "cht", "jp", "cz", "Deutsch", "Français", "español", "日本語", "中文"),
    *("en-ehkg1hFWq8A", "en-nP7-2PuUl7o", "en--a_b-c_d-ef", "en-US-ehkg1hFWq8A"),  # named tracks of YouTube
]
REST = [
    *LANGUAGES,
    "en.sdh",
    "en.forced",
    "en.cc",
    "en.hi",
    "EN.HI",
    "hi",
    "hi.hi",
    "hi.forced",
    "forced.en",
    "en.default",
]
REST += ["eng.SDH", "en.2", "en.sdh.2", "en[cc]", "sdh", "forced", "cc", "default", "mp4", "mp4.en", "zh-Hans.forced"]
TITLES = [
    "clip",
    "my.video",
    "v1.2",
    "What is this? [dQw4w9WgXcQ]",
    "a (b) [c].d",
    "Crème brûlée",
    "-x",
    "1",
    "a.no.b",
    "é.é",
]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("rest", REST)
def test_subtitle_names(tmp_path: Path, rest: str) -> None:
    for number, title in enumerate(TITLES):
        folder = touch(tmp_path / str(number), f"{title}.{rest}.vtt")
        there = {title: folder / f"{title}.{rest}.vtt"}
        assert find_subtitles(folder) == (there, {}), title
        assert find_subtitles(folder, videos=[title, "other"]) == (there, {}), title


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("clip.en.hi", ("clip", "en")),
        ("clip.hi", ("clip", "hi")),
        ("clip.hi.forced", ("clip", "hi")),
        ("clip.sdh", ("clip", "")),
        ("clip.en-ehkg1hFWq8A", ("clip", "en-ehkg1hFWq8A")),
        ("how.to.use.a.pan", ("how.to.use.a.pan", "")),  # no Panjabi
        ("What.Is.It", ("What.Is.It", "")),
        ("clip.auto", ("clip.auto", "")),
        ("clip.2", ("clip.2", "")),
        ("clip.final.cut", ("clip.final.cut", "")),
        ("clip. en", ("clip. en", "")),
        ("two words.en", ("two words", "en")),
    ],
)
def test_names_where_no_video_is_known(stem: str, expected: tuple[str, str]) -> None:
    assert video_name(stem) == expected


@pytest.mark.parametrize(
    "name", ["clip_en.srt", "clip-en-US.srt", "clip (en).srt", "clip [eng] [sdh].srt", "clip.pan.srt"]
)
def test_a_known_video_may_be_parted_from_the_language_in_other_ways(tmp_path: Path, name: str) -> None:
    assert find_subtitles(touch(tmp_path, name), videos=["clip"]) == ({"clip": tmp_path / name}, {})


def test_a_file_is_of_the_video_of_the_longest_name(tmp_path: Path) -> None:
    touch(tmp_path, "clip.srt", "clip.en.srt", "clip.en.de.srt", "clip - no.srt", "clips.srt")
    found, refused = find_subtitles(tmp_path, videos=["clip", "clip.en", "clip - no"])
    assert refused == {} and {name: path.name for name, path in found.items()} == {
        "clip": "clip.srt",
        "clip - no": "clip - no.srt",
        "clips": "clips.srt",
        **{"clip.en": "clip.en.srt"},
    }


@pytest.mark.parametrize("name", ["dot.srt", "dot.en.srt", "dot..en.srt", "dot..srt", "dot_en.srt"])
def test_a_video_whose_name_ends_in_a_dot_has_its_subtitles(tmp_path: Path, name: str) -> None:
    assert find_subtitles(touch(tmp_path, name), videos=["dot."]) == ({"dot.": tmp_path / name}, {})
    both, _ = find_subtitles(tmp_path, videos=["dot", "dot."])
    assert list(both) == ["dot." if name.startswith("dot..") else "dot"]


def test_a_name_that_is_not_understood_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "clip.final.srt", "clip-2.srt", "other.srt", "other.final.srt", "clips.srt")
    found, refused = find_subtitles(tmp_path, videos=["clip", "other"])
    assert set(found) == {"other", "clips"} and set(refused) == {"clip"}
    assert f"the name of {tmp_path / 'clip-2.srt'}, {tmp_path / 'clip.final.srt'} begins with" in refused["clip"]
    assert "rename it to clip.en.srt" in refused["clip"]


@pytest.mark.parametrize(
    ("names", "language", "chosen"),
    [
        (["clip.srt", "clip.en.srt", "clip.de.srt"], "", "clip.srt"),
        (["clip.en.srt", "clip.en.sdh.srt", "clip.en.forced.srt", "clip.en-orig.srt"], "", "clip.en.srt"),
        (["clip.en.sdh.srt", "clip.en.forced.srt"], "", "clip.en.sdh.srt"),
        (["clip.en.forced.srt"], "", "clip.en.forced.srt"),
        (["clip.forced.srt", "clip.en.srt"], "", "clip.en.srt"),
        (["clip.en.auto.srt", "clip.en.cc.srt"], "", "clip.en.cc.srt"),
        (["clip.en-GB.srt", "clip.eng.srt", "clip.de.srt"], "en", "clip.eng.srt"),
        (["clip.EN-gb.srt", "clip.en-US.srt"], "en-GB", "clip.EN-gb.srt"),
        (["clip.en-GB.srt", "clip.de.srt"], "eng", "clip.en-GB.srt"),
        (["clip.pt.srt", "clip.en.srt"], "pt-BR", "clip.pt.srt"),
        (["clip.en.forced.srt", "clip.srt"], "en", "clip.srt"),
        (["clip.en.hi.srt", "clip.hi.srt"], "hi", "clip.hi.srt"),
        (["clip.en.srt", "clip.de.srt"], "", None),
        (["clip.en-GB.srt", "clip.en-US.srt"], "en", None),
        (["clip.en.srt", "clip.en.vtt"], "en", None),
        (["clip.en.srt"], "de", None),
    ],
)
def test_the_best_of_several(tmp_path: Path, names: list[str], language: str, chosen: str | None) -> None:
    found, refused = find_subtitles(touch(tmp_path, *names), language=language or None)
    assert [path.name for path in found.values()] == ([chosen] if chosen else []) and len(refused) == (not chosen)


@pytest.mark.parametrize(("video", "file"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_nfd_names(tmp_path: Path, video: str, file: str) -> None:
    name, written = (unicodedata.normalize(form, "Crème brûlée") for form in (video, file))  # type: ignore[arg-type]
    touch(tmp_path, f"{written}.en.srt")
    assert find_subtitles(tmp_path, videos=[name]) == ({name: tmp_path / f"{written}.en.srt"}, {})
    assert list(find_subtitles(tmp_path)[0]) == ["Crème brûlée"]


def test_of_two_names_that_look_the_same_each_video_has_its_own(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]  # type: ignore[arg-type]
    touch(tmp_path, *(f"{name}.en.srt" for name in names))
    found, refused = find_subtitles(tmp_path, videos=names)
    assert found == {name: tmp_path / f"{name}.en.srt" for name in names} and refused == {}


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="the shared cases are absent")
def test_subtitle_names_of_the_public_case() -> None:
    found, refused = find_subtitles(SHARED / "cases" / "subtitle-names")
    assert list(found) == ["aaa", "bbb", "ccc", "ddd", "eee", "fff"] and not refused


@given(st.text(st.sampled_from("aB1é. -_[(]"), min_size=1, max_size=12), st.sampled_from(REST))
def test_no_part_of_a_name_is_lost(title: str, rest: str) -> None:
    name, language = video_name(f"{title}.{rest}")
    stem = unicodedata.normalize("NFC", f"{title}.{rest}")
    assert name and stem.startswith(name) and language in stem[len(name) :]
