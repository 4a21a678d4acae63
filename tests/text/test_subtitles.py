"""Subtitle files of the kinds that there are in the world."""

from pathlib import Path

import pytest

from mmpt.text.subtitles import find_subtitles, parse_subtitles, read_subtitles, video_name

ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.080 --> 00:00:02.389 align:start position:0%
 
add<00:00:00.320><c> the</c><00:00:00.560><c> butter</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
add the butter
 

00:00:02.399 --> 00:00:05.030 align:start position:0%
add the butter
to<00:00:02.800><c> a</c><00:00:03.100><c> pan</c>

00:00:05.030 --> 00:00:05.040 align:start position:0%
to a pan
 

00:00:05.040 --> 00:00:08.000 align:start position:0%
to a pan
that&#39;s<00:00:05.500><c> hot</c>
"""  # noqa: W293 a line of one space is what the site writes


def rows(text: str, *, vtt: bool = False) -> list[tuple[float, float, str | None]]:
    captions = parse_subtitles(text, strict_blocks=vtt).captions
    return list(zip(captions.start, captions.end, captions.text, strict=True))


def test_rolling_captions_give_each_line_once() -> None:
    found = parse_subtitles(ROLLING, strict_blocks=True)
    assert rows(ROLLING, vtt=True) == [
        (0.08, 2.399, "add the butter"),
        (2.399, 5.04, "to a pan"),
        (5.04, 8.0, "that's hot"),
    ]
    assert (found.cues, found.carried) == (5, 2)


def test_rolling_captions_that_became_srt_do_too() -> None:
    text = ROLLING.split("\n\n", 1)[1]
    numbered = "\n\n".join(f"{number}\n{cue}" for number, cue in enumerate(text.split("\n\n"), 1))
    assert rows(numbered.replace(" align:start position:0%", "").replace(".", ",")) == rows(ROLLING, vtt=True)


def test_a_line_that_is_said_again_is_no_rolling_caption() -> None:
    text = "00:01.0 --> 00:02.0\nStir.\n\n00:03.0 --> 00:04.0\nStir.\nSlowly.\n\n00:05.0 --> 00:06.0\nServe.\n\n"
    text += "00:07.0 --> 00:08.0\nEat.\n"
    assert [row[2] for row in rows(text)] == ["Stir.", "Stir. Slowly.", "Serve.", "Eat."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n00:00:01,500 --> 00:00:04,000\nHeat it\n", [(1.5, 4.0, "Heat it")]),
        ("1\r\n00:00:01,500 --> 00:00:04,000\r\nHeat\r\nit\r\n", [(1.5, 4.0, "Heat it")]),
        ("00:01.500 --> 00:04.000\nno hours\n", [(1.5, 4.0, "no hours")]),
        ("100:00:01.5 --> 100:00:02.5\nlong\n", [(360001.5, 360002.5, "long")]),
        ("00:00:01.5-->00:00:02\nno spaces\n", [(1.5, 2.0, "no spaces")]),
        ("00:00:01,5 --> 00:00:02,25 X1:40 X2:600\nplace\n", [(1.5, 2.25, "place")]),
        ("1\n00:01,0 --> 00:02,0\nOne\n2\n00:03,0 --> 00:04,0\nTwo\n", [(1.0, 2.0, "One"), (3.0, 4.0, "Two")]),
        ("1\n00:01,0 --> 00:02,0\nOne\n\n\nmore\n\n2\n00:03,0 --> 00:04,0\n7\n", [(1, 2, "One more"), (3, 4, "7")]),
        ("00:01,0 --> 00:02,0\n<i>a</i> {\\an8}<font color='#fff'>b</font> &amp; 3 < 4\n", [(1, 2, "a b & 3 < 4")]),
        ("00:01,0 --> 00:02,0\n\n00:03,0 --> 00:04,0\nx\n", [(1.0, 2.0, ""), (3.0, 4.0, "x")]),
        ("00:01,0 --> 00:02,0\n&lrm;a&nbsp;b\u200b c\n", [(1.0, 2.0, "a b c")]),
        ("00:00:01.5000 --> 00:00:02.1234567\nmany decimals\n", [(1.5, 2.123, "many decimals")]),
        ("00:01. --> 00:02,\nno decimals\n", [(1.0, 2.0, "no decimals")]),
    ],
)
def test_srt(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert rows(text) == expected


def test_vtt_notes_styles_and_names_of_cues_are_no_text() -> None:
    text = (
        "WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE of the editor\nwith 2 lines\n\nintro\n"
        "00:01.000 --> 00:02.000 line:80%\n<v Ann Lee>- Hi</v>\n- Ho\n\nNOTE x\n\n00:03.000 --> 00:04.000\nBye\n"
    )
    assert rows(text, vtt=True) == [(1.0, 2.0, "- Hi - Ho"), (3.0, 4.0, "Bye")]


@pytest.mark.parametrize("text", ["", "WEBVTT\n\n", "only words\n"])
def test_without_a_cue_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="holds no cue"):
        rows(text)


def test_a_cue_that_ends_before_it_starts_is_named() -> None:
    with pytest.raises(ValueError, match=r"caption 2 ends before it starts: 5.0 to 4.0, 'late'"):
        rows("00:01.0 --> 00:02.0\na\n\n00:05.0 --> 00:04.0\nlate\n")


@pytest.mark.parametrize(
    "line",
    [
        "00:00:03,000 -> 00:00:04,000",
        "00:00:03,000 → 00:00:04,000",
        "00:00:03,000 –> 00:00:04,000",  # noqa: RUF001 an editor's dash
        "00:00:03,000 -- > 00:00:04,000",
        "00:00:03:000 --> 00:00:04:000",
        "00:00:03,000 \u2011\u2011> 00:00:04,000",
        "3.0 --> 4.0",
        "00:00:03,000 -->",
        "-00:00:03,000 --> 00:00:04,000",
    ],
)
@pytest.mark.parametrize("vtt", [False, True])
def test_times_in_an_odd_form_become_no_text_and_do_not_vanish(line: str, vtt: bool) -> None:
    cue = "00:00:01,000 --> 00:00:02,000\na\n\n"
    with pytest.raises(ValueError, match=r"the text, line 4: '.*' looks like the times of a cue"):
        rows(f"{cue}{line}\nb\n", vtt=vtt)
    with pytest.raises(ValueError, match=r"the text, line 3: '.*' looks like the times of a cue"):
        rows(f"1\n\n{line}\nb\n\n{cue}", vtt=vtt)


@pytest.mark.parametrize(
    "said",
    [
        *("a -> b", "at 10:30 - 11:00", "turn it 90 -> 180", "a<00:00:01.500><c> -></c> b"),
        *("while (x --> 0) { x = 1; }", "bake it from 0:30 → 1:00", "then 12 --> oven"),
    ],
)
def test_arrows_and_times_may_be_said(said: str) -> None:
    assert rows(f"00:01,0 --> 00:02,0\n{said}\n") == [
        (1.0, 2.0, said.replace("<00:00:01.500><c>", "").replace("</c>", ""))
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_themselves(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:01,0 --> 00:02,0\nCrème brûlée\n", encoding=encoding)
    assert read_subtitles(path).captions.text == ["Crème brûlée"]


def test_other_encodings_must_be_said(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:01,0 --> 00:02,0\nCrème brûlée\n", encoding="cp1252")
    with pytest.raises(ValueError, match="--encoding cp1252"):
        read_subtitles(path)
    assert read_subtitles(path, encoding="cp1252").captions.text == ["Crème brûlée"]
    with pytest.raises(ValueError, match="'nonsense' is not known"):
        read_subtitles(path, encoding="nonsense")


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("clip", ("clip", "")),
        ("clip.en", ("clip", "en")),
        ("clip.pt-BR", ("clip", "pt-BR")),
        ("clip.en-orig", ("clip", "en-orig")),
        ("my.video", ("my.video", "")),
        ("v1.2", ("v1.2", "")),
        ("take.xx", ("take.xx", "")),
        (".en", (".en", "")),
    ],
)
def test_names(stem: str, expected: tuple[str, str]) -> None:
    assert video_name(stem) == expected


def test_a_folder_is_searched(tmp_path: Path) -> None:
    for name in ("b.srt", "sub/a.en.vtt", "two.en-GB.vtt", "two.de.vtt", "twice.srt", "sub/twice.vtt", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, refused = find_subtitles(tmp_path)
    assert list(found) == ["a", "b"] and set(refused) == {"two", "twice"}
    assert "choose with --language" in refused["two"]
    found, refused = find_subtitles(tmp_path, language="en")
    assert found["two"].name == "two.en-GB.vtt" and set(refused) == {"twice"}
    found, refused = find_subtitles(tmp_path, language="fr")
    assert set(found) == {"b"} and "is in the language 'fr'" in refused["a"]


def test_a_folder_without_subtitles_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no subtitle file"):
        find_subtitles(tmp_path)


def test_subtitles_in_folders_behind_links_are_found_once(tmp_path: Path) -> None:
    for name in ("here/a.srt", "disk/b.en.vtt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "here/link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/loop").symlink_to(tmp_path / "here")
    found = {"a": tmp_path / "here/a.srt", "b": tmp_path / "here/link/b.en.vtt"}
    assert find_subtitles(tmp_path / "here") == (found, {})
