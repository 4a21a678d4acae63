"""`mmpt doctor` on machines with everything, with nothing, and with things that are not what they should be."""

import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mmpt.cli.main import main
from tests.processes import start_mmpt

TESTS = Path(__file__).parents[1]
CHECKPOINT = TESTS / "golden/01_checkpoints/videoclip.pt"
BERT = TESTS / "golden/common/tiny-bert"
PROJECT = """
dataset:
  bert_name: {bert}
  train_path: data/train.lst
  tfeat_dir: data/feat/caption.
  vfeat_dir: data/feat
  json_path: null
  label: data/labels.txt
  subsampling: 32
model:
  model_cls: MMFusionSeparate
  video_encoder_cls: MMBertForEncoder
  text_encoder_cls: BertModel
eval:
  save_path: runs/retri/videoclip
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an empty cache of the hub."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("MMPT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def fill(home: Path) -> None:
    """Put what `mmpt score` needs into a working folder."""
    for place in ("runs/retri/videoclip/checkpoint_best.pt", "pretrained_models/s3d_howto100m.pth"):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKPOINT, home / place)
    (home / "pretrained_models/s3d_dict.npy").write_bytes(b"\x93NUMPY\x01\x00")
    shutil.copytree(BERT, home / "pretrained_models/bert-base-uncased")


def examine(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    code = main(["doctor", "--json", *args])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return code, {(found["about"], found["name"]): found for found in report["findings"]}


def test_an_empty_machine_is_told_all_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examine(capsys)
    assert code == 1
    missing = {name: item["remedy"] for (_, name), item in found.items() if item["state"] == "missing"}
    assert missing == {
        "videoclip": "mmpt download videoclip",
        "s3d .pth": "mmpt download s3d",
        "s3d .npy": "mmpt download s3d",
        "bert-base-uncased": "mmpt download bert",
    }
    assert found["weights", "vlm"]["state"] == "optional"
    assert str(home / "runs/retri/videoclip/checkpoint_best.pt") in found["weights", "videoclip"]["detail"]


def test_a_complete_machine(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    code, found = examine(capsys)
    assert code == 0
    assert found["weights", "videoclip"] == {
        "about": "weights",
        "name": "videoclip",
        "state": "ok",
        "detail": f"{home}/runs/retri/videoclip/checkpoint_best.pt (1.0 MB)",
        "remedy": "",
    }
    assert main(["doctor"]) == 0
    assert "Nothing that is needed is missing." in capsys.readouterr().out


def test_software_and_devices_are_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examine(capsys)
    for name in ("torch", "transformers", "av", "numpy"):
        assert found["software", name]["state"] == "ok"
        assert found["software", name]["detail"] == metadata.version(name)
    assert "cores" in found["devices", "cpu"]["detail"]
    assert "bf16" in found["devices", "cpu"]["detail"]
    assert ("software", "pytest") not in found, "what only developers need is no finding"


def test_absent_and_old_libraries(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up installation of this package, beside the real libraries."""
    info = tmp_path / "site" / "mmpt-9.9.dist-info"
    info.mkdir(parents=True)
    wanted = "numpy>=999", "surely-absent>=1", 'absent-too>=1; extra == "search"', 'numpy>=1; extra == "dev"'
    lines = ["Metadata-Version: 2.1", "Name: mmpt", "Version: 9.9", "Requires-Python: >=3.99"]
    lines += [f"Requires-Dist: {text}" for text in wanted] + ["Provides-Extra: search", "Provides-Extra: dev"]
    (info / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path / "site")
    _, found = examine(capsys)
    assert found["software", "mmpt"]["detail"] == "9.9"
    assert found["software", "Python"]["state"] == "wrong"
    assert found["software", "numpy"]["detail"].endswith(", and >=999 is needed")
    assert found["software", "surely-absent"]["state"] == "missing"
    assert found["software", "surely-absent"]["remedy"] == "pip install 'surely-absent>=1'"
    assert found["software", "absent-too"]["state"] == "optional"
    assert found["software", "absent-too"]["remedy"] == "pip install 'mmpt[search]'"


def test_damaged_and_partial_weights(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    (home / "runs/retri/videoclip/checkpoint_best.pt").write_bytes(CHECKPOINT.read_bytes()[:500_000])
    s3d = home / "pretrained_models/s3d_howto100m.pth"
    s3d.rename(s3d.with_name("s3d_howto100m.pth.partial"))
    code, found = examine(capsys)
    assert code == 1
    assert found["weights", "videoclip"]["state"] == "wrong"
    assert "damaged checkpoint" in found["weights", "videoclip"]["detail"]
    assert found["weights", "videoclip"]["remedy"] == "move it away, then: mmpt download videoclip"
    assert "1.0 MB of it has come so far" in found["weights", "s3d .pth"]["detail"]


def test_a_working_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMPT_HOME", str(tmp_path / "absent"))
    code, found = examine(capsys)
    assert code == 1
    assert found["weights", "folder"]["state"] == "wrong"


def test_bert_in_the_cache_of_the_hub(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached = tmp_path / "hub/models--bert-base-uncased"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("abc")
    shutil.copytree(BERT, cached / "snapshots/abc")
    _, found = examine(capsys)
    assert found["BERT", "bert-base-uncased"]["detail"] == "in the hub's cache"
    (cached / "snapshots/abc/vocab.txt").unlink()
    _, found = examine(capsys)
    assert found["BERT", "bert-base-uncased"]["state"] == "missing"


def test_a_project_with_everything(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    (tmp_path / "p.yaml").write_text(PROJECT.format(bert=BERT))
    feat = home / "data/feat"
    feat.mkdir(parents=True)
    for path in (home / "data/train.lst", home / "data/labels.txt", feat / "caption.train_0_data.npy"):
        path.write_text("x")
    code, found = examine(capsys, "p.yaml")
    assert code == 0
    assert {name for about, name in found if about == "data"} == {"train_path", "tfeat_dir", "vfeat_dir", "label"}
    assert found["project", "eval.save_path"]["state"] == "ok"
    assert found["BERT", str(BERT)]["state"] == "ok"


def test_a_project_with_nothing(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/vocab.txt").write_text("[PAD]")
    (tmp_path / "p.yaml").write_text(PROJECT.format(bert=tmp_path / "bert"))
    code, found = examine(capsys, "p.yaml")
    assert code == 1
    assert {name for about, name in found if about == "data"} == {"train_path", "tfeat_dir", "vfeat_dir", "label"}
    assert all(item["state"] == "missing" for (about, _), item in found.items() if about == "data")
    assert found["project", "eval.save_path"]["remedy"] == "mmpt download videoclip"
    assert found["BERT", str(tmp_path / "bert")]["detail"] == f"{tmp_path}/bert has no config.json"


def test_the_checkpoints_that_an_evaluation_and_a_fine_tuning_start_from(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "common_eval": {"path": "runs/own/last.pt"},
        "checkpoint": {"restore_file": "runs/mtm/vlm/checkpoint_best.pt"},
    }
    (tmp_path / "p.yaml").write_text(PROJECT.format(bert=BERT) + f"fairseq: {json.dumps(more)}\n")
    _, found = examine(capsys, "p.yaml")
    assert "train it first" in found["project", "common_eval.path"]["remedy"]
    assert found["project", "checkpoint.restore_file"]["remedy"] == "mmpt download vlm"
    assert ("project", "eval.save_path") not in found, "an evaluation only writes there"


@pytest.mark.parametrize(("text", "message"), [(None, "does not exist"), ("a: [", "YAML"), ("model: {}", "dataset")])
def test_a_project_file_that_cannot_be_read(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "p.yaml").write_text(text)
    code, found = examine(capsys, "p.yaml")
    assert code == 1
    assert message in found["project", "file"]["detail"]
    assert found["software", "torch"]["state"] == "ok", "the rest is told all the same"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("fairseq: 3", "'fairseq' is 3, not a block of keys"),
        ("fairseq: {common_eval: [1]}", "fairseq.common_eval is [1], not a block"),
        ("fairseq: {common_eval: {path: 3}}", "fairseq.common_eval.path is 3; it takes str or null"),
        ("fairseq: {checkpoint: {restore_file: 7}}", "fairseq.checkpoint.restore_file is 7; it takes str"),
        ("eval: 5", "'eval' is 5"),
    ],
)
def test_values_of_the_wrong_kind_are_problems_among_others(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], block: str, message: str
) -> None:
    project = PROJECT.format(bert=BERT).partition("eval:")[0]
    (tmp_path / "p.yaml").write_text(f"{project}{block}\n")
    code, found = examine(capsys, "p.yaml")
    assert code == 1
    assert found["project", "file"]["state"] == "wrong" and message in found["project", "file"]["detail"]
    assert found["weights", "s3d .pth"]["state"] == "missing", "the rest is told all the same"


def test_keys_that_are_no_text(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = PROJECT.format(bert=BERT).replace("label:", "7:")
    (tmp_path / "p.yaml").write_text(project)
    _, found = examine(capsys, "p.yaml")
    assert found["data", "7"]["state"] == "missing"


@pytest.mark.parametrize("arguments", [["projects/retri/videoclip/how2.yaml"], ["--help"]], ids=["project", "help"])
def test_the_real_command_fits_80_columns(home: Path, arguments: list[str]) -> None:
    with start_mmpt("doctor", *arguments, env={**os.environ, "COLUMNS": "80"}) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == (0 if arguments == ["--help"] else 1), err
    assert max(map(len, out.splitlines())) <= 80
    assert ("mmpt doctor projects" if arguments == ["--help"] else "train_path") in out
