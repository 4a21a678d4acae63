"""What a search found, written in every format and read back, with hostile words in it."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmpt.search.exporting import (
    Clip,
    clip_name,
    export_clips,
    safe_name,
    write_csv,
    write_edl,
    write_json,
    write_webvtt,
)
from mmpt.search.query import Query, Results
from mmpt.search.records import Moment, VideoRecord
from mmpt.text.subtitles import read_subtitles
from mmpt.video.reader import probe

HOSTILE = '=HYPERLINK("http://x")\n00:00 --> 00:09 <script>alert(1)</script>'


def moment(path: Path | str, start: float, end: float, **more: object) -> Moment:
    record = VideoRecord(f"{abs(hash(str(path))):016x}"[:16], str(path), 0.0, 0.0, 60, 4, 0)
    fields = {"best": start, "score": 3.5, "seen": 0.25, "said": None, "why": "seen"} | more
    return Moment(record, start, end, **fields)  # pyright: ignore[reportArgumentType]


def found(*moments: Moment, text: str | None = "flip the pancake") -> Results:
    return Results(Query(text), list(moments), 2.0, 100, 0.01)


@pytest.fixture
def kitchen(rendered: Path) -> Path:
    return rendered / "kitchen"


def test_json_holds_everything_and_is_plain_ascii():
    stream = io.StringIO()
    hostile = moment("/v/b\udce9.mp4", 4, 9.25, said=HOSTILE, why="both")
    write_json([found(hostile), found(text=None)], stream)
    first, second = json.loads(stream.getvalue())
    assert stream.getvalue().isascii()
    assert first["query"] == "flip the pancake" and first["threshold"] == 2.0 and first["searched_windows"] == 100
    assert first["moments"] == [
        {
            "rank": 1,
            "video": "/v/b\udce9.mp4",
            "start": 4,
            "end": 9.25,
            "best": 4,
            "score": 3.5,
            "why": "both",
            "seen": 0.25,
            "said": HOSTILE,
            "id": hostile.video.id,
            "match": True,
        }
    ]
    assert (first["match"], first["below"]) == (True, None)
    assert second["query"] is None and second["moments"] == [] and second["match"] is False


def test_a_program_can_tell_no_match_from_few_matches_and_from_what_cannot_be_judged():
    strong, weak, said = (
        moment("/v/a.mp4", 1, 2, score=1.4),
        moment("/v/a.mp4", 3, 4, score=1.2),
        moment("/v/b.mp4", 3, 4, score=1.4, why="said", seen=None),
    )
    all_of_it = replace(found(strong, weak), threshold=None)
    told = {
        "all": all_of_it,
        "none": replace(found(), below=weak),
        "weak": replace(all_of_it, moments=[weak]),
        "few windows": replace(all_of_it, judged=False),
        "few windows, said": replace(all_of_it, moments=[strong, said], judged=False),
    }
    stream = io.StringIO()
    write_json(list(told.values()), stream)
    read = dict(zip(told, json.loads(stream.getvalue()), strict=True))
    assert [one["match"] for one in read.values()] == [True, False, False, None, True]
    assert [moment["match"] for moment in read["all"]["moments"]] == [True, False]
    assert [moment["match"] for moment in read["few windows, said"]["moments"]] == [None, True]
    assert read["none"]["below"]["score"] == 1.2 and read["none"]["below"]["match"] is False
    stream = io.StringIO()
    write_csv([all_of_it, told["few windows"]], stream)
    assert [row["match"] for row in csv.DictReader(io.StringIO(stream.getvalue()))] == ["yes", "no", "", ""]


def test_csv_holds_nothing_that_a_terminal_obeys():
    stream = io.StringIO()
    write_csv([found(moment("/v/a\x1b]0;x\x07.mp4", 1, 2, said="\r\x9b31mred\tand\nblue"))], stream)
    assert not any(letter in stream.getvalue() for letter in "\x1b\x07\r\x9b")
    (row,) = csv.DictReader(io.StringIO(stream.getvalue()))
    assert row["video"] == r"/v/a\x1b]0;x\x07.mp4" and row["said"] == "\\x0d\\x9b31mred\tand\nblue"


def test_csv_is_read_back_and_no_cell_is_a_formula():
    stream = io.StringIO()
    rows = [
        moment("/v/a.mp4", 4, 9, said=HOSTILE, score=-1.5, seen=-0.5),
        moment("=cmd|calc.mp4", 1, 2, said=" @SUM(A1)"),
    ]
    write_csv([found(*rows, text="-2+3")], stream)
    read = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["rank"] for row in read] == ["1", "2"]
    assert read[0]["said"] == f"'{HOSTILE}" and read[1]["said"] == "' @SUM(A1)"
    assert read[0]["query"] == "'-2+3" and read[1]["video"] == "'=cmd|calc.mp4"
    assert float(read[0]["score"]) == -1.5 and float(read[0]["seen"]) == -0.5  # numbers stay numbers
    assert read[1]["start"] == "1" and read[1]["seen"] == "0.25"


def test_an_edit_list_has_events_one_after_the_other(tmp_path: Path):
    moments = [moment("/v/a\nb.mp4", 5, 8.5), moment("/v/c.mp4", 3661.04, 3662)]
    assert write_edl([found(*moments, text=HOSTILE)], tmp_path / "cut.edl", fps=25) == [tmp_path / "cut.edl"]
    assert (tmp_path / "cut.edl").read_text().splitlines() == [
        'TITLE: =HYPERLINK("http://x") 00:00 --> 00:09 <script>alert(1)</script>',
        "FCM: NON-DROP FRAME",
        "* FRAME RATE: 25",
        "",
        "001  AX       V     C        00:00:05:00 00:00:08:12 01:00:00:00 01:00:03:12",
        "* FROM CLIP NAME: a b.mp4",
        "* SOURCE FILE: /v/a b.mp4",
        '* COMMENT: =HYPERLINK("http://x") 00:00 --> 00:09 <script>alert(1)</script>, score 3.50',
        "",
        "002  AX       V     C        01:01:01:01 01:01:02:00 01:00:03:12 01:00:04:11",
        "* FROM CLIP NAME: c.mp4",
        "* SOURCE FILE: /v/c.mp4",
        '* COMMENT: =HYPERLINK("http://x") 00:00 --> 00:09 <script>alert(1)</script>, score 3.50',
    ]


def test_time_codes_count_the_frames_of_the_videos(kitchen: Path, tmp_path: Path):
    video = kitchen / "pancake.mp4"
    write_edl([found(moment(video, 5, 8.5), moment("/gone.mp4", 0, 1))], tmp_path / "cut.edl")
    text = (tmp_path / "cut.edl").read_text()
    assert f"* FRAME RATE: {probe(video).fps:g}" in text and "00:00:05:00 00:00:08:05" in text  # 10 frames a second
    write_edl([found(moment("/gone.mp4", 5, 8.5))], tmp_path / "cut.edl")
    assert "* FRAME RATE: 25" in (tmp_path / "cut.edl").read_text()
    write_edl([found(moment("/gone.mp4", 100, 101))], tmp_path / "cut.edl", fps=30000 / 1001)
    assert "00:01:39:27 00:01:40:27" in (tmp_path / "cut.edl").read_text()  # frame 2997 of 29.97 a second


def test_an_edit_list_of_nothing_or_too_much_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="0 were found"):
        write_edl([found()], tmp_path / "cut.edl")
    with pytest.raises(ValueError, match="1000 were found; ask for fewer"):
        write_edl([found(*[moment("/a.mp4", 0, 1)] * 1000)], tmp_path / "cut.edl")
    assert list(tmp_path.iterdir()) == []


def test_chapters_of_one_video_are_in_order_and_do_not_overlap(tmp_path: Path):
    results = [
        found(moment("/v/a.mp4", 20, 30), moment("/v/a.mp4", 5, 12), text=HOSTILE),
        found(moment("/v/a.mp4", 10, 18), moment("/v/a.mp4", 20, 22), text="pour"),
    ]
    assert write_webvtt(results, tmp_path / "a.vtt") == [tmp_path / "a.vtt"]
    assert (tmp_path / "a.vtt").read_text().count("-->") == 3
    read = read_subtitles(tmp_path / "a.vtt").captions
    line = " ".join(HOSTILE.split())
    assert list(zip(read.start, read.end, read.text, strict=True)) == [(5, 10, line), (10, 18, "pour"), (20, 30, line)]


def test_chapters_of_several_videos_are_several_files(tmp_path: Path):
    results = [found(moment("/v/a b.mp4", 1, 2), moment("/w/a b.mp4", 3, 4))]
    written = write_webvtt(results, tmp_path / "found.vtt")
    assert len(written) == 2 == len(list(tmp_path.iterdir()))
    assert all(path.name.startswith("found.a_b.") and path.suffix == ".vtt" for path in written)
    assert [read_subtitles(path).captions.start for path in written] == [[1], [3]]
    with pytest.raises(ValueError, match="no moment was found"):
        write_webvtt([found()], tmp_path / "none.vtt")


@pytest.mark.parametrize(
    ("query", "video", "start", "name"),
    [
        ("Flip the pancake!", "/v/My Breakfast.mkv", 65.9, "007_Flip_the_pancake_My_Breakfast_1m05s.mkv"),
        ("../../etc/passwd", "/v/a.AVI", 0, "007_etc_passwd_a_0m00s.mp4"),
        ("œuf à la coque", "/v/Ärger.mp4", 3661, "007_œuf_à_la_coque_Ärger_61m01s.mp4"),
        ("--> <b>", "/v/-.webm", 1, "007_b_0m01s.webm"),
        ("\udce9\0\n", "/v/\udce9.mp4", 1, "007_0m01s.mp4"),
    ],
)
def test_names_of_clips_say_what_they_are_and_are_safe(query: str, video: str, start: float, name: str):
    assert clip_name(7, query, Path(video), start) == name


def test_long_names_are_cut_between_letters():
    assert len(clip_name(1, "ü" * 300, Path("/v") / ("語" * 80 + ".mp4"), 0).encode()) < 200
    assert safe_name("語" * 80) == "語" * 20


def test_clips_are_cut_and_what_fails_is_told(kitchen: Path, tmp_path: Path):
    gone, after = moment("/gone.mp4", 1, 2), moment(kitchen / "soup.mp4", 500, 510)
    told: list[Clip] = []
    moments = [moment(kitchen / "pancake.mp4", 5, 8), gone, after, moment(kitchen / "soup.mp4", 0, 2)]
    clips = export_clips([found(*moments)], tmp_path / "clips", on_clip=told.append)
    assert told == clips and [bool(clip.error) for clip in clips] == [False, True, True, False]
    assert "/gone.mp4" in clips[1].error and "ends" in clips[2].error
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == [
        "001_flip_the_pancake_pancake_0m05s.mp4",
        "004_flip_the_pancake_soup_0m00s.mp4",
    ]
    assert clips[0].start <= 5 and clips[0].end >= 8
    assert probe(clips[0].path).duration == pytest.approx(clips[0].end - clips[0].start, abs=0.2)
