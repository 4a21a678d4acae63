"""Tables, lists and JSON files, whole and broken."""

from pathlib import Path

import pytest

from mmpt.utils.tables import json_part, number, read_json, read_lines, read_table, segment_fault


def test_quotes_commas_and_line_ends_within_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\nv0,"a, b\r\nc"\r\n\r\nv1, "plain" \r\n')
    rows, faults = read_table(path, ("text", "id"))
    assert [(row.where, row["id"], row["text"]) for row in rows] == [
        (f"{path}:2", "v0", "a, b\nc"),
        (f"{path}:5", "v1", '"plain"'),
    ]
    assert not faults


def test_a_letter_that_ends_lines_elsewhere_ends_none_here(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\nv0,one\u2028two\x0cthree\n")
    assert [row["text"] for row in read_table(path, ("id", "text"))[0]] == ["one\u2028two\x0cthree"]
    assert [line for _, line in read_lines(path)] == ["id,text", "v0,one\u2028two\x0cthree"]


def test_a_row_with_too_few_cells_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\nv0,a\nv1\nv2,c\n")
    rows, faults = read_table(path, ("id", "text"))
    assert [row["id"] for row in rows] == ["v0", "v2"]
    assert faults == [f"{path}:3 has 1 of 2 cells; it is left out"]


def test_a_row_with_more_cells_than_the_header_does_not_lose_them_silently(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\nv0,a man, a plan\nv1,a man,,\nv2,c\n")
    rows, faults = read_table(path, ("id", "text"))
    assert [(row["id"], row["text"]) for row in rows] == [("v1", "a man"), ("v2", "c")]
    assert faults == [
        f"{path}:2 has 3 cells for 2 columns (a text that holds ',' takes double quotes around it); it is left out"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; its first line must name the columns id, text"),
        (b"id,words\nv0,a\n", "t.csv:1 has no column 'text'; its columns are 'id', 'words'"),
        (b"id,text, text\nv0,a,b\n", "t.csv:1 has the column 'text' more than once; remove or rename one"),
        (b'id,text\nv0,a\nv1,"never ends\nv2,c\n', "t.csv:3 is not a row of a table"),
        (b"id,text\nv0,\xff\xfe\n", "is not UTF-8 text (byte 11)"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_table(path, ("id", "text"))
    assert message in str(error.value)


def test_without_a_header_columns_go_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("1,0.5,2,more\n")
    rows, faults = read_table(path, ("step", "start", "end"), header=False)
    assert not faults, "nothing says how many there are"
    assert dict(rows[0].values) == {"step": "1", "start": "0.5", "end": "2"}


@pytest.mark.parametrize("read", [read_json, read_lines])
def test_no_file(tmp_path: Path, read) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="is a folder, not a file"):
        read(tmp_path)


def test_broken_json_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b": }')
    with pytest.raises(ValueError, match=r"a\.json:2, column 7: it is not valid JSON"):
        read_json(path)


def test_a_key_that_stands_twice_is_not_half_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"database": {"v0": 1, "v1": 2, "v0": 3}}')
    with pytest.raises(ValueError, match="the key 'v0' stands twice"):
        read_json(path)


@pytest.mark.parametrize(
    ("value", "there"), [({"a": 1, "b": 2}, "are: 'a', 'b'"), ([1], "are: none"), ({"part": 3}, "are: 'part'")]
)
def test_another_file_than_expected(value: object, there: str) -> None:
    with pytest.raises(ValueError, match="has no list under 'part'") as error:
        json_part(value, "part", list, Path("x.json"))
    assert there in str(error.value)


@pytest.mark.parametrize(
    ("start", "end", "fault"),
    [
        (0, 0.5, None),
        (3, 3, None),
        (5, 3, "ends at 3 s, before its beginning at 5 s"),
        (-1, 3, "begins at -1 s, before the video"),
        (float("nan"), 3, "has the time nan"),
        (0, float("inf"), "has the time inf"),
        ("12", 15, "has the time '12'"),
        (True, 2, "has the time True"),
        (None, 2, "has the time None"),
    ],
)
def test_times(start: object, end: object, fault: str | None) -> None:
    told = segment_fault(start, end)
    assert told is None if fault is None else told is not None and fault in told


def test_numbers() -> None:
    assert [number(text) for text in ("3", "3.5", "1e2", "x", "")] == [3, 3.5, 100.0, "x", ""]
    assert isinstance(number("3"), int)
