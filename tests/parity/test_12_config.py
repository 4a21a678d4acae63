"""The YAML files that projects make, the lines that are printed, and the flags that the original's runs were given.

A folder of another set may hold any number of `resolved*.json`, projects of its own (`project_yaml` in
`commands.json`), and need have neither `structure.json` nor every list of `commands.json`.
"""

import json
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from mmpt.cli.checking import check_names
from mmpt.cli.main import main
from mmpt.config import load_config
from mmpt.config.project import read_project
from mmpt.config.vocabulary import NEVER_WAS
from tests.conftest import ROOT, golden_folder

COVERS = "12_config"
CUSTOM = ROOT / "tests" / "cases" / "custom-project"
PROJECTS = (
    "projects/mfmmlm.yaml",
    "projects/mtm/mmfusionmtm.yaml",
    "projects/mtm/vlm.yaml",
    "projects/retri/videoretri.yaml",
    "projects/retri/videoclip.yaml",
)
# Evaluations that the original's lists do not have.
MORE = "projects/retri/videoclip_more.yaml"
ADDED = (
    MORE,
    *(
        f"projects/{place}/test_{name}.yaml"
        for place in ("task", "retri/videoclip")
        for name in ("hmdb51_zs", "didemo_retrieval_zs", "didemo_paragraph_zs")
    ),
)
# What the original's command line says and a file does not, or says of the original's own pieces.
NO_VALUES = {"--user-dir", "--task", "--arch", "--criterion", "--distributed-world-size", "--tensorboard-logdir"}


class Case(NamedTuple):
    """A file that a project makes."""

    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict[str, Any]:
        return _resolved(self.folder)[self.name]


def _resolved(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(folder.glob("resolved*.json"))
    return {name: values for file in files for name, values in json.loads(file.read_text()).items()}


def _project_of(name: str) -> str:
    return f"{Path(name).parent}.yaml"


def _told(folder: Path, key: str) -> Any:
    """What `commands.json` says under a key; nothing where the folder has no such file or key."""
    file = folder / "commands.json"
    return json.loads(file.read_text()).get(key) if file.is_file() else None


def _needed(folder: Path, key: str) -> Any:
    found = _told(folder, key)
    if not found:
        pytest.skip(f"{folder} records no {key}")
    return found


def _own_projects(folder: Path) -> dict[str, str]:
    """Projects that the folder itself brings: path -> YAML text."""
    told = _told(folder, "project_yaml") or {}
    return {path: text if isinstance(text, str) else yaml.safe_dump(text) for path, text in told.items()}


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in _resolved(folder)]


@pytest.fixture(scope="module")
def structure(golden_dir: Path) -> dict[str, dict[str, Any]]:
    file = golden_dir / COVERS / "structure.json"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    return json.loads(file.read_text())["files"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder in which every project has made its files, in place of those that come with this package."""
    own = _own_projects(golden_folder(request.config) / COVERS)
    return generate(tmp_path_factory.mktemp("clean"), own, (*PROJECTS, MORE, *own))


def generate(folder: Path, own: dict[str, str], projects: Sequence[str]) -> Path:
    for source in (*PROJECTS, MORE, "projects/task"):
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile)(ROOT / source, target)
    for path, text in own.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for project in dict.fromkeys(projects):
            assert main(["launch", project, "--dryrun"]) == 0
    return folder


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    names = {path.name for path in (golden_dir / COVERS).iterdir() if not path.match("resolved*.json")}
    assert names <= {"structure.json", "commands.json"} and _resolved(golden_dir / COVERS)


@pytest.mark.parametrize("name", json.loads((CUSTOM / "resolved.json").read_text()))
def test_a_project_of_ones_own_inherits_what_the_originals_would(name: str, custom: Path) -> None:
    assert load_config(custom / name).raw == json.loads((CUSTOM / "resolved.json").read_text())[name]


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = {"projects/retri/custom.yaml": (CUSTOM / "custom.yaml").read_text()}
    return generate(tmp_path_factory.mktemp("custom"), own, list(own))


def test_a_generated_file_says_what_the_originals_does(case: Case, generated: Path) -> None:
    assert load_config(generated / case.name).raw == case.recorded


def test_a_project_makes_nothing_else(golden_dir: Path, generated: Path) -> None:
    recorded = set(_resolved(golden_dir / COVERS))
    for project in {_project_of(name) for name in recorded}:
        made = {str(path.relative_to(generated)) for path in (generated / project).with_suffix("").iterdir()}
        assert made - set(ADDED) == {name for name in recorded if _project_of(name) == project}


def test_the_files_that_come_with_this_package_are_the_generated_ones(generated: Path) -> None:
    shipped = [path for name in ("retri/videoclip", "mtm/vlm") for path in (ROOT / "projects" / name).iterdir()]
    assert len(shipped) == 31 + 3
    for path in shipped:
        assert path.read_text() == (generated / path.relative_to(ROOT)).read_text(), path


def test_which_files_there_are_and_what_includes_what(structure: dict[str, dict[str, Any]]) -> None:
    ours = {path: yaml.safe_load((ROOT / path).read_text()) for path in structure}
    assert {path: values.get("includes") for path, values in ours.items()} == {
        path: about.get("includes") for path, about in structure.items()
    }
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "projects").rglob("*.yaml")}
    # made by whoever wants them, or no project of the original
    kept = {"projects/mfmmlm/", "projects/mtm/mmfusionmtm/", "projects/retri/videoretri/", "projects/toy/"}
    assert {path for path in there if not path.startswith(tuple(kept))} == set(structure) | set(ADDED)
    for path in PROJECTS:
        about, values = structure[path], ours[path]
        lists = {group: block.get("task_list") for group, block in values["task_group"].items()}
        assert {group: tasks for group, tasks in lists.items() if tasks} == {
            group: tasks for group, tasks in about["task_lists"].items() if tasks
        }
        stages = [[n for n in s if n not in NEVER_WAS] if isinstance(s, list) else s for s in about.get("run_task", [])]
        assert (values["project_dir"], values.get("base_dir"), values.get("run_task", [])) == (
            about["project_dir"],
            about.get("base_dir"),
            stages,
        )


def test_the_lines_that_are_printed(
    golden_dir: Path, generated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(generated)
    recorded = _needed(golden_dir / COVERS, "generate")
    for project, about in recorded.items():
        assert main(["launch", project, "--dryrun"]) == about["rc"]
        assert capsys.readouterr().out.splitlines() == about["stdout"]


def test_the_stages_of_a_project() -> None:
    project = read_project(ROOT / "projects/mtm/vlm.yaml")
    assert [[path.name for path in stage] for stage in project.stages] == [
        ["how2.yaml"],
        ["vtt.yaml", "vttqa.yaml", "youcook.yaml", "youcookcap.yaml", "crosstask.yaml", "coin.yaml"],
    ]


def test_typed_fields_are_the_flags_that_the_original_gave(golden_dir: Path, generated: Path) -> None:
    seen: set[str] = set()
    for about in _needed(golden_dir / COVERS, "commands"):
        line = about["stdout"][-1]
        if "fairseq-train" not in line:
            continue
        run = load_config(generated / about["args"][0])
        flags = _flags(shlex.split(line.removeprefix("launching "))[2:])
        for flag, text in flags.items():
            if flag not in NO_VALUES:
                seen.add(flag)
                assert _written(_field(run, flag)) == text, flag
    if golden_dir == ROOT / "tests" / "golden":
        assert {"--lr", "--adam-betas", "--fp16", "--restore-file", "--warmup-updates", "--keep-last-epochs"} <= seen


def test_the_configuration_that_a_run_of_the_original_saves_loads(golden_dir: Path, tmp_path: Path) -> None:
    for path, values in _needed(golden_dir / COVERS, "saved_config_yaml").items():
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(values))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run = load_config(file, checks=(check_names,))
        assert run.raw == values and run.optim.lr == tuple(values["fairseq"]["optimization"]["lr"])
        assert run.checkpoint.save_dir == str(Path(path).parent)


def _flags(words: list[str]) -> dict[str, str]:
    flags: dict[str, str] = {}
    for word in words:
        if word.startswith("--"):
            flags[last := word] = "true"
        else:
            flags[last] = word  # pyright: ignore[reportPossiblyUnbound]
    return flags


def _field(run: Any, flag: str) -> Any:
    name = flag.removeprefix("--").replace("-", "_")
    (part,) = (part for part in (run.optim, run.checkpoint, run.logging, run.loader) if hasattr(part, name))
    return getattr(part, name)


def _written(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 1:
        (value,) = value
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_which_job_a_file_runs(golden_dir: Path, generated: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(generated)
    for about in _needed(golden_dir / COVERS, "commands"):
        code = main(["launch", *about["args"]])
        printed = capsys.readouterr().out
        if about["rc"]:
            assert code == 2 and not printed  # the original ends with a KeyError there
            continue
        recorded = about["stdout"][-1]
        path = about["args"][0]
        words = shlex.split(printed.removeprefix("launching "))
        if "predict.py" in recorded:
            assert words[1:] == ["-m", "mmpt", "evaluate", path]
            continue
        processes = _flags(shlex.split(recorded)[3:]).get("--distributed-world-size", "1")
        assert words[-4:] == ["-m", "mmpt", "train", path]
        assert processes == (words[words.index("--nproc-per-node") + 1] if "--nproc-per-node" in words else "1")
