"""YAML files into typed values, and every way in which they can be wrong."""

import json
from pathlib import Path

import pytest

from mmpt.config import load_config, parse_config
from mmpt.config.load import find_project_file
from tests.conftest import ROOT, SHARED

GOOD = "dataset: {bert_name: b}\nmodel: {model_cls: MMFusionJoint}\n"


@pytest.mark.parametrize("name", ["projects/retri/videoclip/how2.yaml", "projects/mtm/vlm/how2.yaml"])
def test_the_tutorials_files_say_what_the_originals_resolve_to(name: str) -> None:
    recorded = SHARED / "golden" / "12_config" / "resolved.json"
    if not recorded.is_file():
        pytest.skip(f"{recorded} is absent: it holds the values that the original's files resolve to")
    assert load_config(ROOT / name).raw == json.loads(recorded.read_text())[name]


@pytest.mark.parametrize(
    ("name", "model_cls", "save_path"),
    [
        ("retri/videoclip/how2.yaml", "MMFusionSeparate", "runs/retri/videoclip"),
        ("mtm/vlm/how2.yaml", "MMFusionMTM", "runs/mtm/vlm"),
    ],
)
def test_the_tutorials_files_load(name: str, model_cls: str, save_path: str) -> None:
    run = load_config(ROOT / "projects" / name)
    assert (run.model.model_cls, run.save_path) == (model_cls, save_path)
    assert (run.dataset.max_len, run.dataset.max_video_len, run.dataset.num_iso_layer) == (96, 32, None)


def test_project_files_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_project_file("retri/videoclip/how2.yaml").is_file()
    own = tmp_path / "projects" / "retri" / "videoclip" / "how2.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(GOOD)
    assert find_project_file("retri/videoclip/how2.yaml").resolve() == own
    with pytest.raises(FileNotFoundError, match=r"nothing\.yaml is in none of"):
        find_project_file("nothing.yaml")


def test_includes_merge_below_the_file_and_overrides_above(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "projects" / "base.yaml").write_text(GOOD + "eval: {save_path: runs/base}\nlr: [1, 2]\n")
    (folder / "a.yaml").write_text("includes: projects/base.yaml\ndataset: {max_len: 64}\nlr: [3]\n")
    run = load_config(folder / "a.yaml", ["dataset.max_video_len=16", "dataset.dup=20"])
    assert (run.dataset.bert_name, run.dataset.max_len, run.dataset.max_video_len) == ("b", 64, 16)
    assert run.dataset.extra == {"dup": 20}
    assert run.raw["lr"] == [3] and run.save_path == "runs/base"


def test_loading_changes_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load_config(ROOT / "projects/retri/videoclip/how2.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: [", "mine.yaml is not valid YAML"),
        ("- a\n- b", "holds no mapping"),
        ("model: {model_cls: A}", "the block 'dataset' is missing"),
        ("dataset: 3\nmodel: {model_cls: A}", "'dataset' is not a block"),
        ("dataset: {}\nmodel: {}", r"dataset.bert_name is missing(.|\n)*model.model_cls is missing"),
        ("dataset: {bert_name: 3}\nmodel: {model_cls: A}", "dataset.bert_name is 3; it takes str"),
        ("dataset: {bert_name: b, max_len: true}\nmodel: {model_cls: A}", "max_len is True; it takes int"),
        (GOOD.replace("MMFusionJoint", "A, model_clss: B"), "model.model_clss is not known; did you mean 'model_cls'"),
        ("dataset: {bert_name: b, max_len: 34}\nmodel: {model_cls: A}", "leaves 2 places for text"),
    ],
)
def test_what_is_wrong_is_told_all_at_once(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config(text, source="mine.yaml")


def test_an_override_without_a_value_is_told() -> None:
    with pytest.raises(ValueError, match=r"override 'dataset.max_len' is not of the form key=value"):
        parse_config(GOOD, overrides=["dataset.max_len"])


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no.yaml does not exist"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(FileNotFoundError, match=r"is a folder"):
        load_config(tmp_path)
    (tmp_path / "a.yaml").write_text("includes: [b.yaml]\n")
    with pytest.raises(FileNotFoundError, match=r"b.yaml \(included by .*a.yaml\) does not exist"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("includes: a.yaml\n")
    with pytest.raises(ValueError, match=r"includes itself"):
        load_config(tmp_path / "a.yaml")
