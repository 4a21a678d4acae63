"""The subtitle file that belongs to a video, and its captions."""

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
    [("clip.srt", "", ""), ("clip.fr.srt", "", "fr"), ("clip.pt-BR.srt", "pt", "pt-BR"), ("clip.srt", "de", "de")],
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
