"""Every name, key and file that a YAML file holds is looked up, in our own files and in others'."""

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmpt.cli.checking import CLASSES, check_files, check_names, data_paths
from mmpt.cli.main import main
from mmpt.config import load_config, parse_config
from mmpt.config.project import is_project, read_project
from mmpt.config.tree import read_tree
from mmpt.utils.registry import names
from tests.conftest import ROOT

GOOD = """
dataset:
  bert_name: b
  meta_processor: MSRVTTMetaProcessor
  video_processor: VideoProcessor
  text_processor: MSRVTTTextProcessor
  aligner: DSAligner
  test_path: list.csv
  split: test
model:
  model_cls: MMFusionJoint
  mm_encoder_cls: MMBertForJoint
"""
EVERY = sorted(path.relative_to(ROOT) for path in (ROOT / "projects").rglob("*.yaml"))


@pytest.mark.parametrize("path", EVERY, ids=str)
def test_every_yaml_file_resolves_every_name(path: Path) -> None:
    """Templates say a part only; what they say is looked up all the same."""
    tree = read_tree(ROOT / path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mfmmlm.yaml says a name that only stands for another
        if is_project(tree):
            assert read_project(ROOT / path, checks=(check_names,)).files
            return
        assert tree.problems == () and list(check_names(tree.plain(str(path)), tree.lines)) == []
    if "task" not in path.parts:
        load_config(ROOT / path)


def test_every_key_of_the_table_is_said_by_some_file() -> None:
    said = set()
    for path in EVERY:
        values = yaml.safe_load((ROOT / path).read_text())
        said |= {key for key in CLASSES if _value(values, key) is not None}
    assert said == set(CLASSES)


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def told(text: str, *overrides: str, checks: Any = (check_names,), kind: type[Exception] = ValueError) -> str:
    with pytest.raises(kind) as caught:
        parse_config(text, source="mine.yaml", overrides=overrides, checks=checks)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "DSAligner",
            "DSAlinger",
            "aligner 'DSAlinger' (dataset.aligner, mine.yaml, line 7) is not registered; did you",
        ),
        ("MSRVTTMeta", "MSRVTMeta", "line 4) is not registered; did you mean 'MSRVTTMetaProcessor'?"),
        ("MMFusionJoint", "MMFusionJiont", "did you mean 'MMFusionJoint'?"),
        ("test_path:", "tst_path:", "dataset.tst_path is not known; did you mean 'test_path'? (mine.yaml, line 8)"),
        ("DSAligner", "no.such.module:Aligner", "cannot be imported"),
    ],
)
def test_what_resolves_to_nothing(old: str, new: str, message: str) -> None:
    assert message in told(GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("loss", "loss: {loss_cls: MMContraLos}", "did you mean 'MMContraLoss'?"),
        ("task", "task: VLMTsk", "task 'VLMTsk' (task, mine.yaml, line 13)"),
        ("metric", "metric: RetrievalMetrik", "did you mean 'RetrievalMetric'?"),
        ("predictor", "predictor: QAPredictr", "did you mean 'QAPredictor'?"),
        ("retriever", "retriever_cls: VectorRetrieve", "did you mean 'VectorRetriever'?"),
        ("vectorpool", "vectorpool_cls: VideoVectorPoool", "did you mean 'VideoVectorPool'?"),
    ],
)
def test_names_outside_the_blocks(kind: str, text: str, message: str) -> None:
    assert message in told(GOOD + text)


def test_all_at_once_with_the_schema() -> None:
    text = told(
        GOOD.replace("DSAligner", "A").replace("list.csv", "[1]")
        + "loss: {loss_cls: B}\nfairseq: {common: {fp16: 3}}\n",
        "model.mm_encoder_cls=C",
        checks=(check_names, check_files),
    )
    for part in (
        "aligner 'A'",
        "dataset.test_path is [1]; it takes str or null (mine.yaml, line 8)",
        "loss 'B' (loss.loss_cls, mine.yaml, line 13)",
        "fairseq.common.fp16 is 3; it takes bool (mine.yaml, line 14)",
        "encoder 'C' (model.mm_encoder_cls, override model.mm_encoder_cls=C)",
    ):
        assert part in text


def test_missing_files_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = GOOD.replace("  split", "  vfeat_dir: feat\n  tfeat_dir: feat/caption.\n  train_path: never/read\n  split")
    text += "fairseq: {common_eval: {path: runs/a.pt}, checkpoint: {restore_file: never/read.pt}}\n"
    message = told(text, checks=(check_files,), kind=FileNotFoundError)
    assert f"dataset.test_path is list.csv, and nothing is at {tmp_path}/list.csv (mine.yaml, line 8)" in message
    assert "dataset.vfeat_dir is feat," in message and "dataset.tfeat_dir" in message
    assert "fairseq.common_eval.path is runs/a.pt" in message and "never/read" not in message
    (tmp_path / "list.csv.old").touch()
    assert "list.csv" in told(text, checks=(check_files,), kind=FileNotFoundError), "only shards share a beginning"
    for name in ("list.csv", "feat/caption.train_0_data.npy", "runs/a.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert parse_config(text, checks=(check_files,)).dataset.tfeat_dir == "feat/caption."


def test_a_sentence_with_a_slash_is_no_path_and_an_annotation_is_one() -> None:
    dataset = {"meta_processor": "HMDB51MetaProcessor", "label_template": "he/she does {}", "backbone": "frame_vit/vit"}
    dataset |= {"video_processor": "no.such:Reader", "trainval_annotation": "a.json", "own": "lists/a.txt"}
    assert list(data_paths(dataset)) == [("trainval_annotation", "a.json"), ("own", "lists/a.txt")]


def test_a_bare_name_of_a_checkpoint_is_the_runs_own() -> None:
    text = GOOD.replace("split: test", "split: train").replace("test_path: list.csv", "lazy_vfeat_mask: true")
    parse_config(text + "fairseq: {checkpoint: {restore_file: checkpoint_last.pt}}", checks=(check_files,))


def test_keys_of_ones_own_class_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_reader.py").write_text(
        "from dataclasses import dataclass\n"
        "from mmpt.processors.base import MetaProcessor\n"
        "@dataclass(frozen=True)\n"
        "class Own:\n    shelf: int\n"
        "class Reader(MetaProcessor):\n    Options = Own\n    def read(self):\n        raise NotImplementedError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = GOOD.replace("MSRVTTMetaProcessor", "own_reader:Reader")
    try:
        assert "dataset.shelf is missing (mine.yaml, line 2)" in told(text)
        assert "dataset.shelf is 'a'; it takes int (override dataset.shelf=a)" in told(text, "dataset.shelf=a")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parse_config(text, overrides=["dataset.shelf=3"], checks=(check_names,))
        with pytest.warns(UserWarning, match=r"only classes from outside .* may read dataset.book \(override"):
            parse_config(text, overrides=["dataset.shelf=3", "dataset.book=4"], checks=(check_names,))
    finally:
        sys.modules.pop("own_reader", None)


def test_a_class_that_is_not_found_may_read_a_key_that_nobody_knows() -> None:
    text = GOOD.replace("MSRVTTMetaProcessor", "no.such:Reader").replace("test_path:", "tst_path:")
    message = told(text, "dataset.wholly_different=3")
    assert "cannot be imported" in message and "dataset.tst_path is not known" in message
    assert "wholly_different" not in message
    assert "dataset.wholly_different is not known; known are:" in told(GOOD, "dataset.wholly_different=3")


def test_keys_of_the_originals_data_sets_are_known() -> None:
    parse_config(GOOD, overrides=["dataset.dup=20", "dataset.json_path=a.json"], checks=(check_names,))
    assert "MSRVTTMetaProcessor" in names("meta_processor")


def test_a_training_takes_a_loss_and_an_evaluation_a_metric(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(GOOD)
    assert main(["train", "mine.yaml", "--check"]) == 2
    err = capsys.readouterr().err
    assert "the block 'loss' is missing" in err and "mmpt evaluate" in err and "vfeat" not in err
    assert main(["evaluate", "mine.yaml", "--check"]) == 2
    err = capsys.readouterr().err
    assert "predictor and metric: missing" in err and "dataset.test_path is list.csv" in err
