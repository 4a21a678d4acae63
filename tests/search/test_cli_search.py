"""`mmpt search`, from a library to tables, JSON, CSV, edit lists, chapters and clips."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.cli.search import parse_like
from mmpt.cli.timecode import parse_time
from mmpt.models.scorer import Scorer
from mmpt.search.batch import read_queries
from mmpt.search.library import VideoLibrary
from mmpt.search.query import Query
from mmpt.search.records import Caption
from mmpt.search.store import Store
from mmpt.video.reader import probe
from tests.search.entries import about_store, random_entry

PANCAKE = "flip the pancake"


@pytest.fixture(autouse=True)
def _in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def run(capsys: pytest.CaptureFixture, library: Path, *words: str | Path) -> tuple[int, str, str]:
    code = main(["search", "--library", str(library), *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out.replace("\N{EN DASH}", "-"), captured.err


def test_a_table_within_80_columns(built_library: Path, capsys) -> None:
    code, out, err = run(capsys, built_library, PANCAKE)
    assert code == 0
    first = next(line for line in out.splitlines() if "0:0" in line)
    assert first.split()[:4] == ["0:04-0:09", "2.6", "both", "pancake.mp4"]
    assert "Now flip the pancake." in first
    assert max(map(len, out.splitlines())) <= 80
    assert "too few windows" in err


def test_words_need_no_quotes(built_library: Path, capsys) -> None:
    assert run(capsys, built_library, *PANCAKE.split())[1] == run(capsys, built_library, PANCAKE)[1]


def test_no_match_is_an_answer(built_library: Path, capsys) -> None:
    code, out, _ = run(capsys, built_library, "a zebra", "--mode", "said")
    assert (code, out) == (0, "no match for 'a zebra' in 25 windows\n")
    code, out, _ = run(capsys, built_library, "carrots and zebras", "--mode", "said")
    assert code == 0 and "the nearest is 0:00-0:03 of soup.mp4, score 0.7; --threshold none" in out
    (found,) = json.loads(run(capsys, built_library, "carrots and zebras", "--mode", "said", "--json")[1])
    assert (found["match"], found["moments"]) == (False, []) and found["below"]["match"] is False
    assert "0:00-0:03" in run(capsys, built_library, "carrots and zebras", "--mode", "said", "--threshold", "none")[1]
    assert "0:00-0:03" in run(capsys, built_library, "carrots and zebras", "--mode", "said", "--threshold", "0.5")[1]


def test_filters(built_library: Path, rendered: Path, capsys) -> None:
    code, out, _ = run(capsys, built_library, PANCAKE, "--folder", rendered / "garden")
    assert code == 0 and "dog.mp4" in out and "pancake.mp4" not in out
    assert "soup.mp4" not in run(capsys, built_library, PANCAKE, "--min-seconds", "0:15")[1]
    assert "pancake.mp4" not in run(capsys, built_library, PANCAKE, "--max-seconds", "12")[1]
    assert "pancake.mp4" in run(capsys, built_library, PANCAKE, "--after", "2020-01-01")[1]
    code, out, err = run(capsys, built_library, PANCAKE, "--before", "2020-01-01")
    assert (code, out, err) == (0, f"no match for '{PANCAKE}': no video passes the filters\n", "")


def test_a_folder_without_a_video_of_the_library_is_told_with_those_that_have_some(
    built_library: Path, rendered: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rendered)
    assert run(capsys, built_library, PANCAKE, "--folder", "kitchen")[0] == 0
    assert run(capsys, built_library, PANCAKE, "--folder", "kitchen/pancake.mp4")[0] == 0  # a file is its own folder
    code, out, err = run(capsys, built_library, PANCAKE, "--folder", "kitch")
    assert (code, out) == (2, "")
    assert f"--folder is kitch, and no video of the library at {built_library} lies below {rendered / 'kitch'}" in err
    assert f"its videos are in {rendered / 'garden'}, {rendered / 'kitchen'}\n" in err


def test_like_a_part_of_a_video(built_library: Path, rendered: Path, videos: Path, capsys) -> None:
    indexed = run(capsys, built_library, "--like", f"{rendered / 'kitchen/soup.mp4'}@0:04-8", "--limit", "2")
    assert indexed[0] == 0 and len([line for line in indexed[1].splitlines() if "0:0" in line]) == 2
    (videos / "garden" / "dog.mp4").rename(videos / "another.mp4")
    code, out, _ = run(capsys, built_library, "--like", videos / "another.mp4", "--limit", "1")
    assert code == 0 and "seen" in out


def test_json_and_csv(built_library: Path, capsys) -> None:
    found = json.loads(run(capsys, built_library, PANCAKE, "--json")[1])
    assert [(one["query"], one["match"], one["below"]) for one in found] == [(PANCAKE, True, None)]
    first = found[0]["moments"][0]
    assert (first["start"], first["end"], first["why"], first["said"]) == (4.0, 9.0, "both", "Now flip the pancake.")
    rows = list(csv.DictReader(io.StringIO(run(capsys, built_library, PANCAKE, "--csv", "--limit", "2")[1])))
    assert [row["rank"] for row in rows] == ["1", "2"] and float(rows[0]["start"]) == 4.0


def test_files_and_clips(built_library: Path, tmp_path: Path, capsys) -> None:
    words = ["--edl", tmp_path / "a.edl", "--chapters", tmp_path / "a.vtt", "--export-clips", tmp_path / "clips"]
    code, _, err = run(capsys, built_library, PANCAKE, "--mode", "said", *words)
    assert code == 0 and "written: 1 clip in" in err
    assert "00:00:04:00 00:00:07:05" in (tmp_path / "a.edl").read_text()
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT")
    clips = list((tmp_path / "clips").iterdir())
    assert [clip.name for clip in clips] == ["001_flip_the_pancake_pancake_0m04s.mp4"]
    assert (probe(clips[0]).duration or 0) >= 3
    code, _, err = run(capsys, built_library, "zebra", "--mode", "said", "--edl", tmp_path / "b.edl")
    assert code == 0 and "no file was written" in err and not (tmp_path / "b.edl").exists()


def test_a_clip_that_cannot_be_cut_gives_code_1(library_folder: Path, grid_scorer: Scorer, tmp_path, capsys) -> None:
    store = VideoLibrary(library_folder, grid_scorer).store
    store.change([replace(record, path="/gone.mp4") for record in store.videos().values()])
    code, out, err = run(capsys, library_folder, PANCAKE, "--mode", "said", "--export-clips", tmp_path / "clips")
    assert code == 1 and "Now flip" in out and "not cut: /gone.mp4" in err


def test_many_queries(built_library: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "shots.txt").write_text(f"# shots\n{PANCAKE}\n\nzebra\n")
    code, out, _ = run(capsys, built_library, "--queries", tmp_path / "shots.txt", "--mode", "said")
    assert code == 0 and out.startswith(PANCAKE) and "no match for 'zebra'" in out
    (tmp_path / "shots.csv").write_text(f"text,limit,mode\n{PANCAKE},1,said\nboil,,seen\n")
    found = json.loads(run(capsys, built_library, "--queries", tmp_path / "shots.csv", "--json")[1])
    assert [(one["query"], one["mode"]) for one in found] == [(PANCAKE, "said"), ("boil", "seen")]


HOSTILE = ["[bold red]x[/]", "<b>&amp;", '"a" OR *', "-->", "x" * 10_000, "🥞", "\x1b[31mred"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_as_they_are(built_library: Path, text: str, capsys) -> None:
    code, out, _ = run(capsys, built_library, "--mode=said", "--threshold=none", "--", text)
    assert code == 0
    assert out.startswith("no match for") and "\x1b" not in out and len(out) < 200


def test_hostile_captions_are_shown_as_they_are(tmp_path: Path, capsys) -> None:
    entry = random_entry(1, captions=2)
    store = Store.create(tmp_path / "library", about_store())
    lines = [Caption(0, 1, "pancake [red]<script>\x1b[31m\nnext"), Caption(50, 51, "pancake " + "long " * 4000)]
    record = replace(entry.record, path="/v/new\nline.mp4", seconds=5, captions=2)
    store.put(record, entry.windows, entry.vectors, entry.tokens, lines)
    code, out, _ = run(capsys, tmp_path / "library", "pancake", "--mode", "said")
    assert code == 0 and "\x1b" not in out and len(out) < 3000 and r"new\nline.mp4" in out
    for form in ("--csv", "--json"):
        assert "\x1b" not in run(capsys, tmp_path / "library", "pancake", "--mode", "said", form)[1]
    assert "[red]<script>" in " ".join(out.split())


def test_what_cannot_be_asked(built_library: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "queries.txt").write_text("# none\n")
    wrong: list[tuple[list[str | Path], str]] = [
        ([], "there is nothing to look for"),
        (["a", "--like", "b.mp4"], "a text and --like were given"),
        (["--like", "b.mp4"], "neither a file nor the id"),
        (["a", "--threshold", "nan"], "--threshold is 'nan'; it takes a number, or none"),
        (["a", "--edl", tmp_path], "is a folder; name a file in it"),
        (["--like", "b.mp4@x"], "write CLIP@FROM-TO"),
        (["--like", "b.mp4@x-y"], "'x' is no time"),
        (["--like", "b.mp4", "--mode", "said"], "--mode is said"),
        (["a", "--json", "--csv"], "give one of them"),
        (["a", "--limit", "0"], "limit is 0"),
        (["a", "--threshold", "high"], "--threshold is 'high'"),
        (["a", "--after", "yesterday"], "--after is 'yesterday'"),
        (["a", "--min-seconds", "1:x"], "'1:x' is no time"),
        (["a", "--edl", tmp_path / "no" / "x.edl"], "there is no folder"),
        (["--queries", tmp_path / "none.txt"], "there is no file of queries"),
        (["--queries", tmp_path / "queries.txt"], "holds no query"),
        (["  "], "the query is empty"),
        ([""], "the query is empty; say what to look for"),
        (["a", "--approximate"], "mmpt index optimize"),
        (["a", "--folder", tmp_path], f"lies below {tmp_path}; its videos are in "),
    ]
    for words, told in wrong:
        code, out, err = run(capsys, built_library, *words)
        assert (code, out) == (2, ""), words
        assert told in err, words


def test_a_library_that_is_not_there_or_empty(tmp_path: Path, capsys) -> None:
    code, _, err = run(capsys, tmp_path / "nowhere", "a")
    assert code == 2 and "mmpt index" in err
    Store.create(tmp_path / "empty", about_store())
    code, _, err = run(capsys, tmp_path / "empty", "a")
    assert code == 2 and "holds no video yet; put some in: mmpt index" in err


def test_queries_from_files(tmp_path: Path) -> None:
    default = Query(limit=5)
    (tmp_path / "a.jsonl").write_text('"one"\n\n{"query": "two", "threshold": "none", "limit": 3}\n')
    one, two = read_queries(tmp_path / "a.jsonl", default)
    assert (one.text, one.limit) == ("one", 5)
    assert (two.text, two.limit, two.threshold) == ("two", 3, None)
    for name, text, told in [
        ("b.jsonl", '"a"\n{]\n', "line 2"),
        ("b.jsonl", '{"text": 5}\n', "line 1: there is no text"),
        ("b.jsonl", '{"text": "a", "limit": "x"}\n', "limit is 'x'"),
        ("b.jsonl", '{"text": "a", "mode": "heard"}\n', "line 1: mode is 'heard'"),
        ("b.csv", "words\na\n", "one that is called text"),
        ("b.csv", 'text,limit\na,"0"\n', "line 2: limit is 0"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=told):
            read_queries(tmp_path / name, default)
    (tmp_path / "latin.txt").write_bytes("cafés".encode("latin-1"))
    with pytest.raises(ValueError, match="not in UTF-8"):
        read_queries(tmp_path / "latin.txt", default)


def test_parts_and_times(tmp_path: Path) -> None:
    assert parse_like("a.mp4") == ("a.mp4", 0.0, None)
    assert parse_like("a.mp4@3-8") == ("a.mp4", 3.0, 8.0)
    assert parse_like("me@home.mp4@1:05-1:10.5") == ("me@home.mp4", 65.0, 70.5)
    assert parse_like("a.mp4@3-") == ("a.mp4", 3.0, None)
    assert parse_like("a.mp4@-8") == ("a.mp4", 0.0, 8.0)
    (tmp_path / "b@3-8").touch()
    assert parse_like(str(tmp_path / "b@3-8")) == (str(tmp_path / "b@3-8"), 0.0, None)
    assert [parse_time(text) for text in ("90", "7.5", "1:30", "1:02:03")] == [90, 7.5, 90, 3723]
    for text in ("", "x", "1:2:3:4", "-5", "1:-2", "inf", "nan"):
        with pytest.raises(ValueError, match="is no time"):
            parse_time(text)


def test_help_loads_nothing_heavy() -> None:
    lines = ["import sys", "from mmpt.cli.main import main", "try: main(['search', '--help'])"]
    code = "\n".join([*lines, "finally: print(sorted(sys.modules))"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, _, modules = done.stdout.rpartition("[")
    assert 'mmpt search "flip the pancake"' in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert not {"torch", "numpy", "lancedb", "rich"} & set(modules.replace("'", "").rstrip("]\n").split(", "))


@pytest.mark.parametrize("buffer", ["", "1"])
def test_who_reads_only_the_beginning_sees_no_error(built_library: Path, buffer: str, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", buffer)
    words = [
        sys.executable,
        "-m",
        "mmpt",
        "search",
        PANCAKE,
        "--mode",
        "said",
        "--library",
        str(built_library),
        "--json",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as head does when it has its lines
        assert (process.stderr.read(), process.wait()) == ("", 141)


def test_real_videos_end_to_end(real_videos: Path, grid_model: Path, tmp_path: Path, capsys) -> None:
    names = ["flipping_a_pancake.mkv", "dog.mp4", "v_GGSY1Qvo990.mp4"]
    films = [str(real_videos / name) for name in names]
    assert main(["index", *films, "--library", str(tmp_path / "library"), "--model", str(grid_model)]) == 0
    code, out, _ = run(capsys, tmp_path / "library", "a dog runs", "--limit", "3", "--export-clips", tmp_path / "clips")
    assert code == 0 and any(name in out for name in names)
    clips = list((tmp_path / "clips").iterdir())
    assert len(clips) == 3 and all(probe(clip).duration for clip in clips)
    part = f"{films[0]}@2-6"
    found = json.loads(run(capsys, tmp_path / "library", "--like", part, "--json")[1])[0]
    assert np.isfinite([moment["score"] for moment in found["moments"]]).all() and found["moments"]
