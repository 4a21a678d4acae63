"""A project's file into those of its tasks: what is merged, what is renamed, what is wrong."""

from pathlib import Path

import pytest

from mmpt.config import load_config
from mmpt.config.project import read_project, rename_run
from tests.conftest import ROOT

TEMPLATE = """
dataset: {bert_name: b, max_len: 96}
model: {model_cls: A}
fairseq:
  checkpoint: {save_dir: runs/parts/a, restore_file: runs/parts/b.pt}
  common_eval: {path: runs/parts}
eval: {save_path: elsewhere/parts/a}
"""
PROJECT = """
project_dir: own/mine
base_dir: parts
task_group:
  learn:
    task_list: [a.yaml]
    dataset: {max_len: 64, mine: [1, 2]}
    loss: {loss_cls: L}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "projects" / "parts").mkdir(parents=True)
    (tmp_path / "projects" / "parts" / "a.yaml").write_text(TEMPLATE)
    (tmp_path / "projects" / "own.yaml").write_text(PROJECT)
    return tmp_path


def test_a_group_wins_over_its_templates(folder: Path) -> None:
    (file,) = read_project(Path("projects/own.yaml")).files
    assert (file.path, file.group) == (Path("projects/own/mine/a.yaml"), "learn")
    assert file.values == {
        "dataset": {"bert_name": "b", "max_len": 64, "mine": [1, 2]},
        "model": {"model_cls": "A"},
        "fairseq": {
            "checkpoint": {"save_dir": "runs/own/mine/a", "restore_file": "runs/own/mine/b.pt"},
            "common_eval": {"path": "runs/own/mine"},
        },
        "eval": {"save_path": "elsewhere/parts/a"},
        "loss": {"loss_cls": "L"},
    }
    file.path.parent.mkdir(parents=True)
    file.path.write_text(file.text(Path("projects/own.yaml")))
    assert load_config(file.path).raw == file.values


def test_a_project_of_ones_own_builds_on_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder: the included project and the templates are those of this package."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "includes: projects/retri/videoclip.yaml\nproject_dir: mine\n"
        "task_group: {pretrain: {dataset: {train_path: my.lst}}, finetune: {task_list: [vtt_videoclip.yaml]}}\n"
    )
    project = read_project(Path("mine.yaml"))
    files = {str(file.path): file.values for file in project.files}
    assert len(files) == 1 + 1 + 11 and project.stages == ((Path("projects/mine/how2.yaml"),),)
    theirs = load_config(ROOT / "projects/retri/videoclip/how2.yaml").raw
    own = files["projects/mine/how2.yaml"]
    assert own["dataset"] == {**theirs["dataset"], "train_path": "my.lst"}
    assert own["fairseq"]["checkpoint"]["save_dir"] == "runs/mine"
    assert files["projects/mine/vtt_videoclip.yaml"]["fairseq"]["checkpoint"]["save_dir"] == "runs/mine/vtt"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.yaml"], "nothing is written"


def test_our_own_projects_make_their_files_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = read_project(Path("projects/mtm/vlm.yaml"))
    assert project.files[0].path == Path("projects/mtm/vlm/how2.yaml")
    assert load_config("projects/mtm/vlm/how2.yaml").model.model_cls == "MMFusionMTM"


def test_a_group_refers_to_the_keys_of_its_tasks_and_to_the_projects_variables(folder: Path) -> None:
    """References are followed in a task's file: the template there says what the group does not."""
    (folder / "projects" / "parts" / "a.yaml").write_text(TEMPLATE.replace("max_len: 96", "vfeat_dir: feat"))
    (folder / "projects" / "own.yaml").write_text(
        "root: data/mine\nnotes: '${dataset.bert_name}!'\n5: five\nnames: [a.yaml]\n"
        + PROJECT.replace("max_len: 64", "train_path: '${root}/a.lst', tfeat_dir: '${dataset.vfeat_dir}/x.'")
        .replace("[a.yaml]", "${names}")
        .replace("loss: {", "eval: {save_path: 'runs/${base_dir}/${project_dir}'}\n    loss: {"),
    )
    project = read_project(Path("projects/own.yaml"), ["root=data/yours"])
    (file,) = project.files
    assert file.path == Path("projects/own/mine/a.yaml")
    data = {"bert_name": "b", "vfeat_dir": "feat", "train_path": "data/yours/a.lst", "tfeat_dir": "feat/x."}
    assert file.values["dataset"] == {**data, "mine": [1, 2]}
    assert file.values["eval"] == {"save_path": "runs/own/mine/own/mine"}
    own = {"root": "data/yours", "notes": "b!", 5: "five", "names": ["a.yaml"]}
    assert {key: file.values[key] for key in own} == own and "project_dir" not in file.values
    file.path.parent.mkdir(parents=True)
    file.path.write_text(file.text(Path("projects/own.yaml")))
    assert load_config(file.path).raw == file.values


def test_a_reference_of_a_group_that_leads_nowhere_is_told_with_its_line(folder: Path) -> None:
    (folder / "projects" / "own.yaml").write_text(PROJECT.replace("max_len: 64", "train_path: '${rot}/a.lst'"))
    with pytest.raises(ValueError) as caught:
        read_project(Path("projects/own.yaml"))
    told = "projects/parts/a.yaml: the reference in dataset.train_path (${rot}/a.lst) cannot be followed: "
    assert f"{told}there is nothing of that name (projects/own.yaml, line 7)" in str(caught.value)


def test_an_override_of_one_task_of_a_list_is_told(folder: Path) -> None:
    override = "task_group.learn.task_list[0]=b.yaml"
    with pytest.raises(ValueError) as caught:
        read_project(Path("projects/own.yaml"), [override])
    told = f"override {override!r}: lists are replaced as a whole: task_group.learn.task_list=[a,b]"
    assert str(caught.value) == f"projects/own.yaml cannot be used:\n  - {told}"


@pytest.mark.parametrize(
    ("path", "renamed"),
    [
        ("runs/task", "runs/retri/mine"),
        ("runs/task/vtt/checkpoint_last.pt", "runs/retri/mine/vtt/checkpoint_last.pt"),
        ("runs/task2/vtt", "runs/task2/vtt"),
        ("/home/runs/task/vtt", "/home/runs/task/vtt"),
    ],
)
def test_the_folder_of_runs_is_renamed_as_a_whole(path: str, renamed: str) -> None:
    assert rename_run(path, "task", "retri/mine") == renamed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("project_dir: own/mine", "", "project_dir is missing; it takes a folder below projects"),
        ("own/mine", "../mine", "project_dir is '../mine'; it takes a folder below projects, for example retri/mine"),
        ("own/mine", "/etc", "project_dir is '/etc'"),
        ("base_dir", "basedir", "basedir is not known; did you mean 'base_dir'? (projects/own.yaml, line 3)"),
        ("base_dir", "dataset: {}\nbase_dir", "dataset belongs to a group of tasks: task_group.<group>.dataset (proj"),
        (
            "base_dir",
            "datasett: {}\nbase_dir",
            "the block 'datasett' is not known; did you mean 'dataset'? (projects/own.",
        ),
        ("own/mine", "${mine}", "the reference in project_dir (${mine}) cannot be followed"),
        ("parts", "part", "projects/part/a.yaml does not exist, the template of a.yaml; there is no folder"),
        ("[a.yaml]", "[aa.yaml]", "the template of aa.yaml; did you mean 'a.yaml'? (projects/own.yaml, line 6)"),
        ("[a.yaml]", "[../a.yaml]", "task_group.learn.task_list is ['../a.yaml']; it takes names of templates"),
        ("[a.yaml]", "a.yaml", "task_list is 'a.yaml'; it takes names of templates"),
        ("    task_list: [a.yaml]\n", "", "task_group.learn.task_list is missing"),
        ("  learn:", "  test: {task_list: [a.yaml]}\n  learn:", "a.yaml is in the groups test and learn"),
        ("max_len: 64", "max_len: long", "dataset.max_len is 'long'; it takes int (projects/own.yaml, line 7)"),
        ("loss: {", "los: {", "the block 'los' is not known; did you mean 'loss'? (projects/own.yaml, line 8)"),
        ("base_dir", "run_task: [b.yaml]\nbase_dir", "run_task names 'b.yaml', which is in no task_list; did you mean"),
        ("base_dir", "run_task: a.yaml\nbase_dir", "run_task is 'a.yaml'; it takes a list of tasks"),
        ("task_group:", "task_groups:", "task_group is None; it takes groups of tasks"),
        ("  learn:", "  more: 3\n  learn:", "task_group.more is not a block of keys (projects/own.yaml, line 5)"),
    ],
)
def test_what_is_wrong_with_a_project(folder: Path, old: str, new: str, message: str) -> None:
    assert old in PROJECT
    (folder / "projects" / "own.yaml").write_text(PROJECT.replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_project(Path("projects/own.yaml"))
    assert message in str(caught.value)


def test_what_is_wrong_in_several_files_is_told_at_once(folder: Path) -> None:
    (folder / "projects" / "parts" / "b.yaml").write_text("dataset: [")
    (folder / "projects" / "parts" / "a.yaml").write_text(TEMPLATE.replace("model_cls", "model_clss"))
    (folder / "projects" / "own.yaml").write_text(PROJECT.replace("[a.yaml]", "[a.yaml, b.yaml, c.yaml]"))
    with pytest.raises(ValueError) as caught:
        read_project(Path("projects/own.yaml"))
    text = str(caught.value)
    assert "projects/parts/b.yaml is not valid YAML" in text and "the template of c.yaml" in text
    assert "model.model_clss is not known; did you mean 'model_cls'? (projects/parts/a.yaml, line 3)" in text


def test_the_stage_that_never_was_is_left_out(folder: Path) -> None:
    """The original's project files name vttcap.yaml, for which there is no template."""
    text = PROJECT.replace("base_dir", "run_task: [[a.yaml, vttcap.yaml]]\nbase_dir")
    (folder / "projects" / "own.yaml").write_text(text)
    assert read_project(Path("projects/own.yaml")).stages == ((Path("projects/own/mine/a.yaml"),),)
