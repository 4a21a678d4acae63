"""The list of what failed."""

import json
from pathlib import Path

import pytest

from mmpt.utils.failures import failure_log, read_failures


def test_it_holds_this_runs_failures_or_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    with failure_log(path) as log:
        log.add("a", "é", shard="x")
        log.add("b", "two\nlines")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"video": "a", "reason": "é", "shard": "x"},
        {"video": "b", "reason": "two\nlines"},
    ]
    assert (log.count, log.first) == (2, ["a: é", "b: two\nlines"])
    with failure_log(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_list_is_read_by_video_without_lines_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    assert read_failures(path) == {}
    with failure_log(path) as log:
        log.add("a", "x")
        log.add("b", "y", step="s")
        log.add("a", "z")
    path.write_text(path.read_text() + 'no JSON\n[]\n{"v": 1}\n')
    assert read_failures(path) == {
        "a": {"video": "a", "reason": "z"},
        "b": {"video": "b", "reason": "y", "step": "s"},
    }
    path.write_bytes(b"\xff")
    assert read_failures(path) == {}


@pytest.mark.parametrize("always", [False, True])
def test_an_error_leaves_the_old_one_unless_it_is_asked_for(tmp_path: Path, always: bool) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text("before\n")
    with pytest.raises(ValueError, match="end"), failure_log(path, always=always) as log:
        log.add("a", "x")
        raise ValueError("the end")
    assert ("before" in path.read_text()) != always and [p.name for p in tmp_path.iterdir()] == [path.name]
