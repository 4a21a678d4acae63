"""Caption files: what is read, what is refused and where, and that no more than needed is in memory."""

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmpt.text import captionfiles
from mmpt.text.captionfiles import read_entries, write_entries
from mmpt.text.captions import parse_captions
from mmpt.text.picklestream import PickleWriter, StringDict

ONE = {"start": [0, 1.5], "end": [1, 2.5], "text": ["a", "é\ud83d"]}


def texts(path: Path) -> dict[str, Any]:
    found = {}
    for entry in read_entries(path):
        assert 0 <= entry.done <= 1 and entry.video_id not in found
        found[entry.video_id] = json.loads(entry.value) if isinstance(entry.value, str) else entry.value
    return found


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("nested", [False, True])
def test_json_is_read_at_any_block_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, nested: bool
) -> None:
    monkeypatch.setattr(captionfiles, "BLOCK", block)
    content = {"a-_1": ONE, "": {"start": [], "end": [], "text": []}, "ü": {**ONE, "text": [None, math.inf]}}
    path = tmp_path / "raw_caption.json"
    stored = {key: json.dumps(value) for key, value in content.items()} if nested else content
    path.write_text("\ufeff" + json.dumps(stored, indent=2), encoding="utf-8")
    assert texts(path) == content


@pytest.mark.parametrize("content", ["{}", "{ \n}", " {\n}\n\n"])
def test_an_empty_object_has_no_entry(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert list(read_entries(path)) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "at character 0: { is expected here, and 'the end of the file' stands there"),
        ("[1]", "at character 0: { is expected here, and '[' stands there"),
        ('{"a": {"x": 1}, "b": {"x": [1,, 2]}, "c": {"tail": "abcdefghijkl"}}', "character 30, after the video 'a'"),
        ('{"a": {"x": 1}, "b": {"x": [1, 2', "after the video 'a'"),
        ('{"a": {"x": 1}, "b": "cut', "after the video 'a': Unterminated string"),
        ('{"a": {"x": 1} "b": 2}', "}, stands there"),
        ('{"a": {}} {"b": {}}', "the file goes on behind its end"),
        ("{5: {}}", "a video id in quotes"),
        ('{"a" {}}', ": is expected here"),
        ('{"a": {}', "'the end of the file' stands there"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_json_is_placed(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    expected = "'\"' stands there" if message.startswith("},") else message
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        list(read_entries(path))
    assert str(path) in str(caught.value)


def test_json_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"a": "é"}'.encode("latin-1"))
    with pytest.raises(ValueError, match="is not in UTF-8"):
        list(read_entries(path))


def test_an_early_fault_does_not_read_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captionfiles, "BLOCK", 100)
    path = tmp_path / "a.json"
    path.write_text('{"a": {"x": [1,, 2]}, ' + " " * 100_000)
    with path.open() as file:
        window = captionfiles._Window(file, path)
        window.expect("{")
        window.value()
        window.expect(":")
        with pytest.raises(ValueError, match="is damaged at character 15"):
            window.value()
        assert len(window._text) < 1000


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["texts", "mappings"])
def test_pickles_are_read(tmp_path: Path, protocol: int, kind: str) -> None:
    content: dict[str, Any] = {f"v{number}": ONE for number in range(3000)}
    stored = {key: json.dumps(value) for key, value in content.items()} if kind == "texts" else content
    path = tmp_path / "raw_caption.pkl"
    path.write_bytes(pickle.dumps(stored, protocol=protocol))
    assert texts(path) == content


def test_pickles_of_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    for content, message in (([1], "holds a list"), ({5: "x"}, "has the key 5, a int")):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=message):
            list(read_entries(path))


def test_a_pickle_with_a_foreign_class_is_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "was-run",)

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": Bad()}))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        list(read_entries(path))
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_cut_off_pickle_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": "x" * 30, "b": "y" * 30})[:-cut])
    with pytest.raises(ValueError, match="not a whole pickle"):
        list(read_entries(path))


def test_absent_and_other_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no caption file"):
        list(read_entries(tmp_path / "none.json"))
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match=r"end in \.json or \.pkl"):
        list(read_entries(tmp_path / "a.csv"))
    with pytest.raises(ValueError, match="neither"), write_entries(tmp_path / "a.csv"):
        pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.text()))
def test_what_is_written_is_read_again(tmp_path: Path, content: dict[str, str]) -> None:
    captions = {key: parse_captions({"start": [1], "end": [2], "text": [text]}) for key, text in content.items()}
    for name in ("a.pkl", "a.json"):
        with write_entries(tmp_path / name) as write:
            for key, value in captions.items():
                write(key, value.to_json())
        assert {key: parse_captions(value) for key, value in texts(tmp_path / name).items()} == captions
    plain = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert plain == {key: value.to_json() for key, value in captions.items()}


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_a_written_pickle_is_a_dict_of_builtins(tmp_path: Path, count: int) -> None:
    content = {f"v{number}": {"start": [0.5, number], "cap": [[], [7]], "text": None} for number in range(count)}
    path = tmp_path / "a.pkl"
    with path.open("wb") as file, PickleWriter(file) as writer:
        for key, value in content.items():
            writer.add(key, value)
    assert pickle.loads(path.read_bytes()) == content


def test_texts_of_a_pickle_are_looked_up_in_the_file(tmp_path: Path) -> None:
    content = {f"v{number}": "é" * number for number in range(0, 3000, 7)}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    texts = StringDict.scan(path)
    assert texts is not None
    with texts:
        assert list(texts) == list(content) and len(texts) == len(content)
        assert {key: texts[key] for key in reversed(list(texts))} == content
        assert "v7" in texts and "v8" not in texts


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="full"), write_entries(path) as write:
        write("a", "{}")
        raise OSError("full")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "no JSON text"),
        ("[1]", "of type list"),
        (7, "of type int"),
        ({"start": [0], "end": [1]}, "no list 'text'; they hold start, end"),
        ({}, "no list 'start'; they hold nothing"),
        ({"start": [0], "end": [1], "text": "a"}, "no list 'text'"),
        ({"start": [0], "end": [1, 2], "text": ["a", "b"]}, "1 start, 2 end, 2 text"),
        ({"start": [0, 5], "end": [1, 4], "text": ["a", "late"]}, "caption 2 ends before it starts: 5 to 4, 'late'"),
        ({"start": [math.nan], "end": [1], "text": ["a"]}, "caption 1 has the time nan"),
        ({"start": [0], "end": [math.inf], "text": ["a"]}, "caption 1 has the time inf"),
        ({"start": [-1], "end": [1], "text": ["a"]}, "caption 1 has the time -1"),
        ({"start": [None], "end": [1], "text": ["a"]}, "caption 1 has the time None"),
        ({"start": [0], "end": ["1"], "text": ["a"]}, "caption 1 has the time '1'"),
        ({"start": [[0]], "end": [[1]], "text": ["a"]}, "caption 1 has the time [0]"),
        ({"start": [0, [0]], "end": [1, [1, 2]], "text": ["a", "b"]}, "caption 2 has the time [0]"),
        ({"start": [10**400], "end": [1], "text": ["a"]}, f"caption 1 has the time 1{'0' * 39}, more than"),
    ],
)
def test_bad_captions_are_told(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_captions(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"start": [0], "end": [1e30], "text": ["a"]}, "caption 1 has the time 1e+30, more than 1,000,000 seconds"),
        ({"start": [1500000], "end": [2000000], "text": [None]}, "caption 1 has the time 1500000, more than"),
        ({"start": [0, False], "end": [1, True], "text": ["a", "b"]}, "caption 2 has the time False"),
        ({"start": [0], "end": [True], "text": ["a"]}, "caption 1 has the time True; a time takes seconds"),
    ],
)
def test_times_that_no_video_has_and_truth_values_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_captions(value)
    assert len(parse_captions({"start": [0], "end": [1e6], "text": ["a"]})) == 1


def test_odd_but_good_captions_are_taken() -> None:
    found = parse_captions('{"start": [3, 1, 0], "end": [3, 9, 0.5], "text": [NaN, null, "x"], "lang": "en"}')
    assert (found.start, found.end, found.text) == ([3, 1, 0], [3, 9, 0.5], [None, None, "x"])
    assert len(parse_captions({"start": (5,), "end": (4,), "text": (" ",)})) == 1  # says nothing, and is dropped
    assert len(parse_captions({"start": [5], "end": [4], "text": ["x"]}, backwards=True)) == 1


def test_a_caption_may_end_a_millisecond_before_it_starts() -> None:
    given = {"start": [5.0, 9], "end": [4.9995, 8.999], "text": ["a", "b"]}
    assert json.loads(parse_captions(given).to_json()) == given
    with pytest.raises(ValueError, match=r"caption 1 ends before it starts: 5.0 to 4.9985"):
        parse_captions({"start": [5.0], "end": [4.9985], "text": ["a"]})


def test_a_time_of_400_digits_is_told_beside_one_with_decimals() -> None:
    with pytest.raises(ValueError, match=r"caption 2 has the time 1000.*more than 1,000,000 seconds"):
        parse_captions({"start": [1.0, 10**400], "end": [2.0, 3.0], "text": ["a", "b"]})
