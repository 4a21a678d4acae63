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
        ("dataset: {bert_name: b, max_video_len: 0}\nmodel: {model_cls: A}", "max_video_len is 0; it takes 1 or more"),
        ("dataset: {bert_name: b, max_video_len: -5}\nmodel: {model_cls: A}", "max_video_len is -5; it takes 1"),
        (GOOD + "eval: foo", "'eval' is 'foo', not a block of keys"),
        (GOOD + "eval: [1]", r"'eval' is \[1\], not a block of keys"),
        (GOOD + "eval: {save_path: 3}", "eval.save_path is 3; it takes str or null"),
        (
            GOOD + "eval: {save_path: [a]}\nfairsq: {}",
            r"'fairsq' is not known; did you mean 'fairseq'(.|\n)*save_path is",
        ),
        (GOOD.replace("model:", "models:"), r"the block 'models' is not known; did you mean 'model'(.|\n)*is missing"),
        (GOOD + "include: a.yaml", "the block 'include' is not known; did you mean 'includes'"),
        (GOOD + "includes: a.yaml", "includes is followed in files only"),
        ("dataset: {bert_name: b}\nmodel: {model_cls: A, 3: 4}", "model.3 is not known; known are: model_cls"),
    ],
)
def test_what_is_wrong_is_told_all_at_once(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config(text, source="mine.yaml")


@pytest.mark.parametrize("values", ["", "eval:", "eval: {}", "eval: {save_path: null}", "eval: {other: 3}"])
def test_a_file_need_not_say_where_checkpoints_are(values: str) -> None:
    assert parse_config(GOOD + values).save_path is None


def test_blocks_of_ones_own_are_kept() -> None:
    run = parse_config(GOOD + "lr: 3\nwandb: {project: mine}\n5: five", overrides=["wandb.project=yours", "metric=A"])
    assert run.raw["wandb"] == {"project": "yours"}
    assert {"lr": 3, 5: "five", "metric": "A"}.items() <= run.raw.items()


@pytest.mark.parametrize("override", ["dataset.max_len", "=3", ".max_len=3", "dataset.=3", "dataset..max_len=3", " =3"])
def test_an_override_without_a_key_or_a_value_is_told(override: str) -> None:
    with pytest.raises(ValueError, match=f"override {override!r} is not of the form key=value"):
        parse_config(GOOD, overrides=[override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("datasets.max_len=40", "there is no block 'datasets'; did you mean 'dataset'?"),
        ("[datasets].max_len=40", "there is no block 'datasets'; did you mean 'dataset'?"),
        ("max_len=40", "there is no block 'max_len'"),
        ("qqq=40", "there is no block 'qqq'; known are: dataset, model"),
        ("includes=a.yaml", "there is no block 'includes'"),
        ("dataset.max_len=[", r"the value of override 'dataset.max_len=\[' is not valid YAML"),
        ("dataset=3", "'dataset' is not a block of keys"),
        ("dataset.max_video_len=0", "max_video_len is 0"),
    ],
)
def test_an_override_that_nothing_would_read_is_told(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config(GOOD, overrides=["dataset.max_len=64", override])


@pytest.mark.parametrize("key", ["{0}[0]", "{0}.0", "{0}[-1]", "{0}.name"])
def test_an_override_of_a_lists_entry_is_told(key: str) -> None:
    """It would make a block of numbered keys of the list."""
    lists = "fairseq: {optimization: {lr: [0.1, 0.2]}}\n"
    for text in [GOOD + lists] if "name" in key else [GOOD, GOOD + lists, GOOD + lists.replace("[0.1, 0.2]", "0.1")]:
        given = f"{key.format('fairseq.optimization.lr')}=0.3"
        with pytest.raises(ValueError) as caught:
            parse_config(text, overrides=[given])
        told = f"override {given!r}: lists are replaced as a whole: fairseq.optimization.lr=[a,b]"
        assert str(caught.value) == f"<text> cannot be used:\n  - {told}"


def test_numbered_keys_of_a_block_of_ones_own_are_no_list() -> None:
    run = parse_config(GOOD + "mine: {a: 1}", overrides=["mine.5=b", "mine.6=c"])
    assert run.raw["mine"] == {"a": 1, "5": "b", "6": "c"}


@pytest.mark.parametrize("includes", ["[1]", "[null]", "3", "{a: b}", "''", "[['a.yaml']]", "true"])
def test_includes_that_are_no_names_are_told(tmp_path: Path, includes: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"includes: {includes}\n{GOOD}")
    with pytest.raises(ValueError, match=r"a\.yaml: includes is .*; it takes the name of a YAML file, or a list"):
        load_config(path)


@pytest.mark.parametrize("includes", ["", "[]", "null"])
def test_a_file_may_include_nothing(tmp_path: Path, includes: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"includes: {includes}\n{GOOD}")
    assert load_config(path).dataset.bert_name == "b"


def test_a_reference_to_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("includes: ${nothing}\n" + GOOD)
    with pytest.raises(ValueError, match=r"includes \(\$\{nothing\}\) cannot be followed: .* \(.*a\.yaml, line 1\)"):
        load_config(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "${dataset.nothing}/x",
            "dataset.mine (${dataset.nothing}/x) cannot be followed: there is nothing of that name",
        ),
        ("[1, '${dataset.mine}']", "dataset.mine.1 (${dataset.mine}) cannot be followed: it leads back to itself"),
        ("${dataset.mine}", "dataset.mine (${dataset.mine}) cannot be followed: it leads back to itself"),
        ("${nothing", "dataset.mine cannot be followed: no viable alternative at input '${nothing'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_in_plain_words_with_its_line(value: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_config(f"model: {{model_cls: A}}\ndataset:\n  mine: {value}\n  bert_name: b\n", source="mine.yaml")
    assert str(caught.value) == f"mine.yaml: the reference in {message} (mine.yaml, line 3)"


def test_a_value_that_is_still_to_be_given_stays() -> None:
    assert parse_config(GOOD + "mine: ???").raw["mine"] == "???"


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
