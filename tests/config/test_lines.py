"""Every problem of a file is told at once, with the place where it is written."""

from pathlib import Path

import pytest

from mmpt.config import load_config
from mmpt.config.tree import override, parse_tree, read_tree


def told(path: Path, *overrides: str, kind: type[Exception] = ValueError) -> str:
    with pytest.raises(kind) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_all_at_once_through_includes_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "dataset:\n  bert_name: 3\n  max_len: 96\nmodel:\n  model_cls: A\n  model_clss: B\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(
        "includes: base.yaml\ndataset:\n  split: tran\nloss:\n  loss_clss: MTM\n"
        "fairsek:\n  common: {}\nfairseq:\n  common:\n    fp16: maybe\nmetric: [a]\n"
    )
    text = told(path, "dataset.max_video_len=long", "datasett.max_len=3")
    for line in (
        f"dataset.bert_name is 3; it takes str ({tmp_path}/base.yaml, line 2)",
        f"model.model_clss is not known; did you mean 'model_cls'? ({tmp_path}/base.yaml, line 6)",
        f"loss.loss_cls is missing ({path}, line 4)",
        f"loss.loss_clss is not known; did you mean 'loss_cls'? ({path}, line 5)",
        f"the block 'fairsek' is not known; did you mean 'fairseq'? ({path}, line 6)",
        f"fairseq.common.fp16 is 'maybe'; it takes bool ({path}, line 10)",
        f"metric is ['a']; it takes str or null ({path}, line 11)",
        "dataset.max_video_len is 'long'; it takes int (override dataset.max_video_len=long)",
        "override 'datasett.max_len=3': there is no block 'datasett'; did you mean 'dataset'?",
    ):
        assert f"  - {line}\n" in f"{text}\n", line


def test_a_value_that_fits_no_split_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("dataset:\n  bert_name: b\n  split: tran\nmodel: {model_cls: A}\n")
    assert f"dataset.split is 'tran'; it takes train, valid, test ({path}, line 3)" in told(path)


def test_missing_includes_are_told_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("includes: [no.yaml, nor.yaml]\nmodel: {model_cls: A, video_dimm: 4}\n")
    text = told(path)
    assert f"nor.yaml (included by line 1 of {path}) does not exist" in text and "no.yaml (included" in text
    assert "video_dimm is not known" in text
    assert "is missing" not in text, "what the absent file would have said is not missed"
    path.write_text("includes: no.yaml\n")
    told(path, kind=FileNotFoundError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset:\n\tbert_name: b\n", r"cannot start any token \(line 2, column 1\); indent with spaces"),
        ("dataset:\n  a: [1, 2\n", r"expected ',' or '\]'.* \(line 3, column 1\)"),
        ("dataset:\n  a: 1\n  a: 2\n", r"found duplicate key a \(line 3"),
        ("a: 'b\n", r"found unexpected end of stream \(line 2"),
        ("hello", "holds no mapping"),
    ],
)
def test_bad_yaml_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(path)
    (tmp_path / "other.yaml").write_text("includes: mine.yaml\nmodel: {model_cl: A}\n")
    with pytest.raises(ValueError, match=rf"(?s){message}.*\(included by .*other.yaml\).*model_cl is not known"):
        load_config(tmp_path / "other.yaml")


def test_a_key_is_where_it_was_written_last(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x:\n  y: 1\n  z: 2\n")
    path = tmp_path / "b.yaml"
    path.write_text("includes: a.yaml\n\nx:\n  z: [4, 5]\n")
    lines = read_tree(path).lines
    assert lines("x.y") == f" ({tmp_path}/a.yaml, line 2)" and lines("x.z") == f" ({path}, line 4)"
    assert lines("x.z.1") == f" ({path}, line 4)" and lines("x.nothing") == f" ({path}, line 3)" and lines("w") == ""


def test_merged_blocks_lie_where_they_are_written() -> None:
    tree = parse_tree("a: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\nc: *a\n", "t")
    assert tree.plain("t")["b"] == {"x": 1, "y": 3}
    assert (tree.lines("b.x"), tree.lines("b.y"), tree.lines("c.y")) == (" (t, line 2)", " (t, line 6)", " (t, line 3)")


def test_an_override_replaces_the_place_of_all_below() -> None:
    tree = override(parse_tree("a: {b: 1}\n", "t"), ["a=[1]"], [])
    assert tree.lines("a.b") == " (override a=[1])" and tree.plain("t") == {"a": [1]}
