"""The subtitle file that belongs to a video, and its captions."""

import unicodedata
from pathlib import Path

import pytest

from mmpt.search.narration import CaptionFinder
from mmpt.search.records import Caption
from tests.search.making import subtitles


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(subtitles([f"from {name}"]), encoding="utf-8")


def said(finder: CaptionFinder, video: Path, seconds: int = 100) -> list[str]:
    return [caption.text for caption in finder.find(video).captions("ab" * 8, seconds)]


@pytest.mark.parametrize(
    ("names", "language", "chosen"),
    [
        (["clip.srt"], "", "clip.srt"),
        (["clip.vtt", "other.srt"], "", "clip.vtt"),
        (["clip.en.srt", "clip.srt"], "", "clip.srt"),
        (["clip.de.srt", "clip.en.srt"], "", "clip.de.srt"),
        (["clip.de.srt", "clip.en.srt"], "en", "clip.en.srt"),
        (["clip.en-US.srt", "clip.srt"], "en", "clip.en-US.srt"),
        (["clip.en-US.srt", "clip.en.srt"], "en", "clip.en.srt"),
        (["clip.de.srt", "clip.srt"], "en", "clip.srt"),
        (["clip.de.srt"], "en", None),
        (["clips.srt", "clip2.srt", ".clip.srt", "clip.txt"], "", None),
        (["CLIP.srt"], "", None),
    ],
)
def test_the_file_that_belongs_to_a_video(tmp_path: Path, names: list[str], language: str, chosen: str | None) -> None:
    write(tmp_path, *names)
    found = said(CaptionFinder(language=language), tmp_path / "clip.mp4")
    assert found == ([f"from {chosen}"] if chosen else [])


def test_a_name_that_looks_as_if_it_said_a_language(tmp_path: Path) -> None:
    write(tmp_path, "talk.en.srt")
    assert said(CaptionFinder(), tmp_path / "talk.en.mp4") == ["from talk.en.srt"]


def test_a_folder_of_captions_is_looked_through_and_what_lies_beside_is_not(tmp_path: Path) -> None:
    write(tmp_path, "videos/clip.srt", "subs/deep/clip.en.srt")
    video = tmp_path / "videos" / "clip.mp4"
    assert said(CaptionFinder(tmp_path / "subs"), video) == ["from subs/deep/clip.en.srt"]
    assert said(CaptionFinder(tmp_path / "none"), video) == []
    assert said(CaptionFinder(), tmp_path / "nowhere" / "clip.mp4") == []


def test_what_is_of_no_use_is_told_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").write_text("no cue at all")
    found = CaptionFinder().find(tmp_path / "clip.mp4")
    assert "clip.srt holds no cue" in found.problem and found.digest == "" and found.captions("a", 9) == []
    (tmp_path / "latin.srt").write_bytes(subtitles(["crêpe"]).encode("cp1252"))
    assert "--encoding" in CaptionFinder().find(tmp_path / "latin.mp4").problem
    assert said(CaptionFinder(encoding="cp1252"), tmp_path / "latin.mp4") == ["crêpe"]


def test_another_file_has_another_digest(tmp_path: Path) -> None:
    write(tmp_path, "clip.srt")
    before = CaptionFinder().find(tmp_path / "clip.mp4").digest
    (tmp_path / "clip.srt").write_text(subtitles(["now other words"]))
    assert len(before) == 16 and CaptionFinder().find(tmp_path / "clip.mp4").digest not in ("", before)


def test_captions_end_with_the_video_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").write_text(subtitles(["one", "", "three", "too late"]))
    found = CaptionFinder().find(tmp_path / "clip.mp4").captions("ab" * 8, 10)
    assert found == [Caption(0.0, 3.5, "one"), Caption(8.0, 10.0, "three")]


ROLLING = """WEBVTT

00:00:00.000 --> 00:00:02.000
now we pour

00:00:01.500 --> 00:00:04.000
now we pour the batter

00:00:03.500 --> 00:00:06.000
the batter into the pan
"""


def test_automatic_captions_say_every_word_once_and_written_ones_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "auto.vtt").write_text(ROLLING)
    words = " ".join(said(CaptionFinder(), tmp_path / "auto.mp4")).split()
    assert words == ["now", "we", "pour", "the", "batter", "into", "the", "pan"]
    (tmp_path / "own.srt").write_text(subtitles(["No.", "Yes.", "No.", "No way."]))
    assert said(CaptionFinder(), tmp_path / "own.mp4") == ["No.", "Yes.", "No.", "No way."]
    again = said(CaptionFinder(), tmp_path / "auto.mp4")
    assert again == said(CaptionFinder(), tmp_path / "auto.mp4")  # the draws are the video's own


@pytest.mark.parametrize(
    ("name", "asked", "language"),
    [
        *(("clip.srt", "", ""), ("clip.fr.srt", "", "fr"), ("clip.pt-BR.srt", "pt", "pt-BR"), ("clip.srt", "de", "de")),
        *(("clip.ger.srt", "", "de"), ("clip.eng-US.srt", "eng", "en-US"), ("clip.French.sdh.srt", "", "fr")),
    ],
)
def test_captions_know_their_language(tmp_path: Path, name: str, asked: str, language: str) -> None:
    write(tmp_path, name)
    (caption,) = CaptionFinder(language=asked).find(tmp_path / "clip.mp4").captions("ab" * 8, 100)
    assert caption.language == language


def test_a_file_that_is_said_to_be_of_another_language_has_another_digest(tmp_path: Path) -> None:
    def digest(name: str) -> str:
        (tmp_path / name).write_text(subtitles(["Gift"]))
        found = CaptionFinder().find(tmp_path / "clip.mp4")
        (tmp_path / name).unlink()
        return found.digest

    assert digest("clip.srt") == digest("clip.en.srt") == digest("clip.en-US.srt")  # all are stemmed as English
    assert len({digest("clip.srt"), digest("clip.de.srt"), digest("clip.fr.srt")}) == 3


@pytest.mark.parametrize("rest", ["en-ehkg1hFWq8A", "eng", "en.sdh", "fil", "zh-Hans", "en.hi", "EN-us", "en.forced"])
def test_subtitle_names_as_programs_write_them(tmp_path: Path, rest: str) -> None:
    write(tmp_path, f"A. Title [x] (2).{rest}.vtt")
    assert said(CaptionFinder(), tmp_path / "A. Title [x] (2).mp4") == [f"from A. Title [x] (2).{rest}.vtt"]


@pytest.mark.parametrize(
    ("names", "language", "chosen"),
    [
        (["clip.en.forced.srt", "clip.en.sdh.srt", "clip.de.srt"], "en", "clip.en.sdh.srt"),
        (["clip.de.forced.srt", "clip.en.srt"], "", "clip.en.srt"),
        (["clip.eng.srt", "clip.en-GB.srt"], "en", "clip.eng.srt"),
        (["clip.en-GB.srt", "clip.eng.srt"], "EN-gb", "clip.en-GB.srt"),
        (["clip.en.hi.srt", "clip.hi.srt"], "hi", "clip.hi.srt"),
        (["clip.en-US.srt", "clip.en-GB.srt"], "en", "clip.en-GB.srt"),
    ],
)
def test_the_best_of_several_files(tmp_path: Path, names: list[str], language: str, chosen: str) -> None:
    write(tmp_path, *names)
    assert said(CaptionFinder(language=language), tmp_path / "clip.mp4") == [f"from {chosen}"]


def test_what_a_name_does_not_say_is_told(tmp_path: Path) -> None:
    write(tmp_path, "clip.final.srt", "clip.srt", "clip-2.srt", "clips.srt", "talk.x.srt")
    (tmp_path / "clip-2.mp4").touch()  # whose the second one is
    finder = CaptionFinder()
    found = finder.find(tmp_path / "clip.mp4")
    assert len(found.captions("a", 9)) == 1 and len(found.notes) == 1
    assert f"the name of {tmp_path / 'clip.final.srt'} begins with the video's" in found.notes[0]
    found = finder.find(tmp_path / "talk.mp4")
    assert not found.digest and not found.problem and "rename it to talk.en.srt" in found.notes[0]
    assert finder.find(tmp_path / "clip-2.mp4").notes == ()


def test_a_file_is_of_the_video_of_the_longest_name(tmp_path: Path) -> None:
    write(tmp_path, "talk.en.srt", "talk.srt")
    (tmp_path / "talk.en.mp4").touch()
    finder = CaptionFinder(language="en")
    assert said(finder, tmp_path / "talk.en.mp4") == ["from talk.en.srt"]
    assert said(finder, tmp_path / "talk.mp4") == ["from talk.srt"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("folder", [False, True])
def test_nfd_names(tmp_path: Path, forms: tuple[str, str], folder: bool) -> None:
    video, file = (unicodedata.normalize(form, "Crème brûlée") for form in forms)  # type: ignore[arg-type]
    write(tmp_path, f"{file}.en.srt")
    finder = CaptionFinder(tmp_path if folder else None)
    assert said(finder, tmp_path / f"{video}.mp4") == [f"from {file}.en.srt"]


def test_lines_that_stand_in_no_cue_are_told(tmp_path: Path) -> None:
    (tmp_path / "clip.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nchop\n\nthe onion\n")
    found = CaptionFinder().find(tmp_path / "clip.mp4")
    assert [caption.text for caption in found.captions("a", 9)] == ["chop"]
    assert "clip.vtt: 1 line is in no cue" in found.notes[0] and found.problem == ""


def test_a_caption_that_ends_where_it_begins_is_kept(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").write_text("00:01,0 --> 00:01,0\nnow\n\n00:02,000 --> 00:01,999\nthen\n")
    found = CaptionFinder().find(tmp_path / "clip.mp4").captions("a", 9)
    assert found == [Caption(1.0, 1.1, "now"), Caption(2.0, 2.1, "then")]


@pytest.mark.parametrize("hour", ["99999999", "9" * 400])
def test_an_hour_that_no_video_has_is_a_problem_of_the_file(tmp_path: Path, hour: str) -> None:
    (tmp_path / "clip.vtt").write_text(f"WEBVTT\n\n00:01.000 --> {hour}:00:02.000\nchop\n")
    problem = CaptionFinder().find(tmp_path / "clip.mp4").problem
    assert "its subtitles are left out" in problem and "clip.vtt, line 3" in problem
