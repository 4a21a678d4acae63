"""Subtitle files that are read otherwise than their first look says, each test named after what went wrong."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.text.subtitles import Subtitles, parse_subtitles, read_subtitles
from tests.conftest import ROOT

CASES = ROOT / "tests" / "cases"
ROLLED = [
    "GOOD MORNING EVERYONE",
    "TODAY WE ARE GOING TO MAKE",
    "A VERY SIMPLE TOMATO SOUP",
    "FIRST YOU WILL NEED",
    "FOUR RIPE TOMATOES",
    "AND ONE LARGE ONION",
    "CHOP THE ONION FINELY",
    "AND HEAT SOME OIL",
]


def rows(text: str, *, vtt: bool = False) -> list[tuple[float, float, str | None]]:
    return listed(parse_subtitles(text, strict_blocks=vtt))


def listed(found: Subtitles) -> list[tuple[float, float, str | None]]:
    return list(zip(found.captions.start, found.captions.end, found.captions.text, strict=True))


def said(text: str, *, vtt: bool = False) -> list[str | None]:
    return [row[2] for row in rows(text, vtt=vtt)]


def cues(*texts: str, first: int = 1) -> str:
    return "\n".join(f"00:{first + n:02}.0 --> 00:{first + n + 1:02}.0\n{text}\n" for n, text in enumerate(texts))


@pytest.mark.parametrize("name", ["ru2.srt", "ru3.srt"])
def test_rollup_three_rows(name: str) -> None:
    found = read_subtitles(CASES / "rollup-three-rows" / name)
    assert listed(found) == [(2.0 * n, 2.0 * n + 2, text) for n, text in enumerate(ROLLED)]
    assert (found.cues, found.carried) == (8, 0)


@pytest.mark.parametrize("height", [2, 3, 4, 8])
def test_rollup_of_any_height_gives_each_line_once(height: int) -> None:
    text = cues(*("\n".join(ROLLED[max(0, n - height + 1) : n + 1]) for n in range(8)))
    assert said(text) == ROLLED


@pytest.mark.parametrize("height", [2, 3])
def test_rollup_in_a_part_of_a_file_gives_each_line_once(height: int) -> None:
    rolled = ["\n".join(ROLLED[max(0, n - height + 1) : n + 1]) for n in range(8)]
    others = [f"other {number}" for number in range(12)]
    refrain = ["la la\nla", "la la\nla", "la\nli", "la la\nla"]
    expected = [*others, *ROLLED, *others, *(" ".join(cue.split()) for cue in refrain)]
    assert said(cues(*others, *rolled, *others, *refrain)) == expected


def test_rollup_that_writes_its_last_line_word_by_word() -> None:
    text = cues(
        "heat\n", "heat\nadd", "heat\nadd the", "heat\nadd the oil", "add the oil\nstir", "add the oil\nstir it"
    )
    assert rows(text) == [(1.0, 2.0, "heat"), (2.0, 5.0, "add the oil"), (5.0, 7.0, "stir it")]


def test_rollup_that_goes_on_in_the_cue_in_which_its_line_ends() -> None:
    text = cues("a b\nc", "a b\nc d\ne", "c d\ne f\ng", "e f\ng h\ni")
    assert said(text) == ["a b c d", "e f", "g h", "i"]


@pytest.mark.parametrize("mark", [*"\u2028\u2029\x85\v\f\x1c\x1d\x1e"])
@pytest.mark.parametrize("vtt", [False, True])
def test_vtt_line_separators_end_no_line(mark: str, vtt: bool) -> None:
    text = (
        f"WEBVTT\n\n00:01.000 --> 00:02.000{mark}\nfirst{mark}{mark}second\n\n00:03.000 --> 00:04.000\n{mark}\nstir\n"
    )
    assert said(text, vtt=vtt) == ["first second", "stir"]


def test_vtt_line_separators_of_the_public_files() -> None:
    folder = CASES / "vtt-line-separators"
    assert read_subtitles(folder / "u2028.vtt").captions.text == ["first second", "stir it"]
    latin = read_subtitles(folder / "latin1_ellipsis.vtt", encoding="latin-1")
    assert latin.captions.text == ["and then stir", "wait now flip it", "ready"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_the_standard_has_it(end: str) -> None:
    assert said(f"WEBVTT{end}{end}00:01.0 --> 00:02.0{end}a{end}b{end}{end}00:03.0 --> 00:04.0{end}c", vtt=True) == [
        *("a b", "c")
    ]


def test_srt_numbers_lost() -> None:
    assert read_subtitles(CASES / "srt-numbers-lost" / "countdown_noidx.srt").captions.text == ["three", "2", "1", "go"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cues("3", "2", "1", "go"), ["3", "2", "1", "go"]),
        (cues("3", "2", "1", "go").replace("\n\n", "\n"), ["3", "2", "1", "go"]),
        (cues("1", "2", "3", "4"), ["1", "2", "3", "4"]),
        ("1\n00:01.0 --> 00:02.0\n3\n\n2\n00:02.0 --> 00:03.0\n2\n\n3\n00:03.0 --> 00:04.0\n1\n", ["3", "2", "1"]),
        ("1\n00:01.0 --> 00:02.0\n3\n2\n00:02.0 --> 00:03.0\n2\n3\n00:03.0 --> 00:04.0\n1\n", ["3", "2", "1"]),
        ("\ufeff1\n00:01.0 --> 00:02.0\n3\n\n2\n00:02.0 --> 00:03.0\n7\n", ["3", "7"]),
        ("1\n\n00:01.0 --> 00:02.0\n\na\n\n2\n\n00:02.0 --> 00:03.0\n\n7\n\n3\n\n00:03.0 --> 00:04.0\n\nb", [*"a7b"]),
        ("0\n00:01.0 --> 00:02.0\na\n\n1\n\n00:02.0 --> 00:03.0\nb\n", ["a", "b"]),  # one number stands apart
        ("1\n00:01.0 --> 00:02.0\nthree\n\n00:02.0 --> 00:03.0\n2\n\n00:03.0 --> 00:04.0\ngo\n", ["three", "2", "go"]),
        ("x\n00:01.0 --> 00:02.0\na\n\n2\n00:02.0 --> 00:03.0\nb\n\n3\n00:03.0 --> 00:04.0\nc\n", ["a", "b", "c"]),
    ],
)
def test_a_number_is_a_cues_only_where_the_file_numbers_its_cues(text: str, expected: list[str]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("2<3", "a < b > c", "1<2 and 3>2", "a<b and c>d", "a<b>c", "x<i and i>y", "3<5>2", "<2:1>", "I <3 you", "<"),
        *("u<v and w>x", "<- left", "<<hi>>", "1<2>1", "p<.05 and q>.1", "<>", "</>", "a<b", "x<s> y", "R&D <-- x"),
    ],
)
@pytest.mark.parametrize("vtt", [False, True])
def test_arithmetic_is_no_tag(text: str, vtt: bool) -> None:
    assert said(cues(text), vtt=vtt) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<i>it</i>", "it"),
        ("<I>it</I>", "it"),
        ("<b><u>x</u></b>", "x"),
        ("<i>never closed", "never closed"),
        ("over two\nli<i>nes</i>", "over two lines"),
        ("2<3 <i>is</i> true", "2<3 is true"),
        ("<c.colorE5E5E5>c</c>", "c"),
        ("wo<c.red>rd</c>", "word"),
        ("<v Ann Lee>hi</v>", "hi"),
        ("<v.loud Ann>hi", "hi"),
        ("add<00:00:00.320><c> the</c>", "add the"),
        ("a<00:01.000>b", "ab"),
        ("<font color='#fff' size=3>f</font>", "f"),
        ("<font color=red>f", "f"),
        ("<span class='x'>s</span>", "s"),
        ("<p style=x>p</p>", "p"),
        ("<lang en-GB>l</lang>", "l"),
        ("<ruby>a<rt>b</rt></ruby>", "ab"),
        ("one<br>two<BR/>three", "one two three"),
        ("{\\an8}top {\\i1}it{\\i0}", "top it"),
        ("&lt;b&gt; &amp; c", "<b> & c"),
    ],
)
def test_tags_go(text: str, expected: str) -> None:
    assert said(cues(text)) == [expected]


def test_a_number_of_a_character_that_is_none_is_text() -> None:
    assert said(cues("&#" + "9" * 5000 + ";")) == ["&#" + "9" * 5000 + ";"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_wide_encodings_are_recognised(tmp_path: Path, encoding: str, mark: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(f"{mark}WEBVTT\n\n1\n00:01.0 --> 00:02.0\n玉ねぎを crème 🍕\n".encode(encoding))
    assert read_subtitles(path).captions.text == ["玉ねぎを crème 🍕"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_wide_encoding_that_breaks_off_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes("00:01.0 --> 00:02.0\na".encode(encoding)[:-1])
    with pytest.raises(ValueError, match=f"is not in {encoding} "):
        read_subtitles(path)


@pytest.mark.parametrize("hour", ["99999999", "9" * 400, "9" * 5000])
@pytest.mark.parametrize("vtt", [False, True])
def test_an_hour_of_400_digits_is_told_with_its_line(hour: str, vtt: bool) -> None:
    with pytest.raises(ValueError, match=r"the text, line 4: '00:03.0 --> 9+.* later than any video"):
        rows(f"{cues('a')}\n00:03.0 --> {hour}:00:04.0\nb\n", vtt=vtt)
    assert rows(f"00:03.0 --> {'0' * 400}1:00:04.0\nb\n") == [(3.0, 3604.0, "b")]


def test_blank_lines_in_a_vtt_cue_end_it_and_are_told() -> None:
    text = "WEBVTT\n\n1\n00:01.0 --> 00:02.0\nchop\n\nthe onion\nfinely\n\nNOTE of mine\n\nlast\n"
    text += "00:03.0 --> 00:04.0\nstir\n\nit"
    found = parse_subtitles(text, strict_blocks=True, source="a.vtt")
    assert found.captions.text == ["chop", "stir"]
    assert found.stray == (
        "a.vtt: 3 lines are in no cue and left out, for an empty line ends a cue in .vtt; the first is line 7, "
        "'the onion'"
    )
    assert parse_subtitles(text[8:], strict_blocks=False).captions.text[1] == "stir it"  # .srt: part of the text


def test_what_stands_before_the_first_cue_of_an_srt_file_is_told() -> None:
    assert "1 line is in no cue and left out; the first is line 1, 'Lost words'" in (
        parse_subtitles(f"Lost words\n\n1\n{cues('a')}", strict_blocks=False).stray
    )
    for header in ("", "1\n", "WEBVTT\nKind: captions\n\n", "WEBVTT\n\nNOTE x\ny\n\nname\n"):
        assert parse_subtitles(f"{header}{cues('a')}", strict_blocks="\n\n" in header).stray == ""


def test_an_srt_file_that_is_a_vtt_file_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(f"WEBVTT\n\nSTYLE\n::cue {{ color: red }}\n\n{cues('a')}\nNOTE no text\n")
    assert read_subtitles(path).captions.text == ["a"]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("Hello there", "Hello there a"),
        ("Bob: hello", "Bob: hello a"),
        ("align:start position:0%", "a"),
        ("align: start position: 0%", "a"),
        ("X1:40 X2:600 Y1:20 Y2:50", "a"),
        ("region:fred", "a"),
    ],
)
def test_text_in_the_line_of_the_times_is_not_lost(rest: str, expected: str) -> None:
    assert said(f"00:01.0 --> 00:02.0 {rest}\na\n") == [expected]


def test_what_is_no_file_or_too_large_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.srt")
    with pytest.raises(ValueError, match=r"pipe\.srt is not a file"):
        read_subtitles(tmp_path / "pipe.srt")
    with (tmp_path / "large.srt").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(ValueError, match="takes 1,099,511,627,776 bytes"):
        read_subtitles(tmp_path / "large.srt")


PIECES = st.sampled_from(
    [
        *(
            "00:01.0 --> 00:02.0",
            "00:01,5 --> 1:00:02",
            "99999999:00:00.0 --> 00:01.0",
            "0:0 --> 0:1.",
            "-->",
            "1",
            "2",
        ),
        *("WEBVTT", "NOTE", "", "", " ", "\n", "\r", "\r\n", "\u2028", "\x85", "\0", "<", ">", "<i>", "</i>", "<v "),
        *("{\\an8}", "&#9;", "&#x110000;", "say", "٣", "\ud800", "🍕", "9" * 400, ":", "."),
    ]
)


@given(st.lists(PIECES | st.text(max_size=6), max_size=30), st.sampled_from(["", "\n", " "]), st.booleans())
def test_no_text_ends_in_another_exception(pieces: list[str], between: str, vtt: bool) -> None:
    try:
        found = parse_subtitles(between.join(pieces), strict_blocks=vtt)
    except ValueError as error:
        assert "the text" in str(error)
    else:
        assert len(found.captions) == found.cues - found.carried


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff"]))
def test_no_bytes_end_in_another_exception(tmp_path_factory: pytest.TempPathFactory, raw: bytes, mark: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes.srt"
    path.write_bytes(mark + raw + b"\n00:01.0 --> 00:02.0\nx")
    try:
        read_subtitles(path)
    except ValueError as error:
        assert "any-bytes.srt" in str(error)


LINE = st.text(st.sampled_from("abcé玉 12<>&'-;"), min_size=1, max_size=8).map(lambda line: " ".join(line.split()))
LINES = st.lists(LINE.filter(bool), min_size=1, max_size=12, unique=True)  # a line that comes again may be carried


def escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@given(
    LINES,
    st.lists(st.integers(1, 3), min_size=12, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["vtt", "numbered", "numbered without empty lines", "plain"]),
)
def test_no_text_is_lost(lines: list[str], heights: list[int], end: str, form: str) -> None:
    rest, blocks, expected = iter(lines), [], []
    for number, height in enumerate(heights, 1):
        if not (text := list(itertools.islice(rest, height))):
            break
        blocks += [str(number)] * ("numbered" in form) + [f"00:{number:02}.0 --> 00:{number:02}.9", *map(escaped, text)]
        blocks += [] if "without" in form else [""]
        expected.append(" ".join(text))
    text = end.join(["WEBVTT", "", *blocks] if form == "vtt" else blocks)
    found = parse_subtitles(text, strict_blocks=form == "vtt")
    assert found.captions.text == expected and found.stray == ""
