"""Chapters as WebVTT and as YouTube's lines."""

from pathlib import Path

from mmpt.text.chapters import Chapter, webvtt, youtube, youtube_faults
from mmpt.text.subtitles import read_subtitles

HOSTILE = "00:00 --> 00:09\n\n<script>alert(1)</script> & more"


def test_webvtt_is_read_back_as_it_was_meant(tmp_path: Path):
    chapters = [Chapter(0, 12.5, "Pour"), Chapter(12.5, 3700.25, HOSTILE)]
    (tmp_path / "chapters.vtt").write_text(webvtt(chapters), encoding="utf-8")
    read = read_subtitles(tmp_path / "chapters.vtt").captions
    assert list(zip(read.start, read.end, read.text, strict=True)) == [
        (0, 12.5, "Pour"),
        (12.5, 3700.25, "00:00 --> 00:09 <script>alert(1)</script> & more"),
    ]


def test_markup_and_arrows_in_a_title_are_escaped():
    text = webvtt([Chapter(0, 1, HOSTILE)])
    assert text.count("-->") == 1 and "<" not in text
    assert text == "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.000\n00:00 --&gt; 00:09 " + (
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more\n"
    )


def test_youtube_begins_at_zero_and_counts_hours():
    chapters = [Chapter(2, 60, "One"), Chapter(61.9, 3600, "Two\nlines"), Chapter(3725, 4000, "<Three>")]
    assert youtube(chapters) == "0:00 One\n1:01 Two lines\n1:02:05 (Three)\n"


def test_what_youtube_would_not_show_is_told():
    good = [Chapter(10 * k, 10 * k + 10, f"step {k}") for k in range(3)]
    assert youtube_faults(good) == []
    assert youtube_faults(good[:2]) == ["YouTube shows chapters from 3 on, and there are 2"]
    (fault,) = youtube_faults([*good, Chapter(30, 39, "hurry")])
    assert "10 s" in fault and "'hurry'" in fault
