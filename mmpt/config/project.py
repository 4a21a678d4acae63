"""Project YAML -> the concrete YAML of every task.

A project names groups of tasks. A task's file is its template, `projects/<base_dir>/<task>`, with the project's own
variables and the group's keys merged over it, and with the folder of its runs renamed after the project. References
(`${...}`) of a group are followed in the merged file, where they may name the task's keys and the project's.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mmpt.config.load import BLOCKS, NEAR, Check, attempt, refuse
from mmpt.config.tree import Lines, Tree, find_included, override, read_tree
from mmpt.config.typed import Absent, dotted, nearest
from mmpt.config.vocabulary import NEVER_WAS

KEYS = ("project_dir", "base_dir", "run_task", "task_group")
RUN_PATHS = (  # what lies in the folder of a project's runs
    "fairseq.checkpoint.save_dir",
    "fairseq.checkpoint.restore_file",
    "fairseq.common_eval.path",
    "eval.save_path",
)


@dataclass(frozen=True)
class TaskFile:
    """One task's file, not written yet.

    Args:
        path: where it belongs.
        group: the project's group that it is in.
        values: what it says.
    """

    path: Path
    group: str
    values: Mapping[str, Any]

    def text(self, source: Path) -> str:
        """Write it out.

        Args:
            source: the project's file, for the comment at the top.

        Returns:
            YAML.
        """
        about = f"# Made of {source} and a template; change those, then: locallaunch.py {source} --dryrun\n"
        return about + OmegaConf.to_yaml(OmegaConf.create(dict(self.values)))


@dataclass(frozen=True)
class Project:
    """What a project file comes to.

    Args:
        source: the file.
        files: the tasks' files, in the order of the groups.
        stages: the files that running the project runs, stage after stage.
    """

    source: Path
    files: tuple[TaskFile, ...]
    stages: tuple[tuple[Path, ...], ...]


def is_project(tree: Tree) -> bool:
    """Whether a file is that of a project, and not of one task."""
    return any(key in tree.values for key in KEYS)


def read_project(
    path: Path, overrides: Sequence[str] = (), *, checks: Sequence[Check] = (), tree: Tree | None = None
) -> Project:
    """Work out every task of a project. Nothing is written.

    Args:
        path: the project's file. Its tasks' files belong beside it: under the last folder named ``projects`` of the
            path as it is given, or else under ``projects`` in the current folder.
        overrides: ``key=value`` pairs in dotted form that change the project's file.
        checks: what is looked at in each task's file besides its form.
        tree: what `read_tree(path)` gives, when it is read already.

    Returns:
        The project.

    Raises:
        FileNotFoundError: a template or another file is not there.
        ValueError: the project or one of the files that it makes is wrong in any way; all is told at once.
    """
    tree = override(tree or read_tree(path), overrides, KEYS)
    values = _own_values(tree, str(path))
    problems = [*tree.problems, *_shape(values, tree.lines)]
    if problems:
        refuse(str(path), problems)
    base, own = values.get("base_dir", "task"), values["project_dir"]
    folder = _projects_folder(path)
    files: dict[str, TaskFile] = {}
    for group, block in values["task_group"].items():
        for name in block["task_list"]:
            at = tree.lines(f"task_group.{group}.task_list")
            template = find_included(f"projects/{base}/{name}", path)
            if name in files:
                problems.append(f"{name} is in the groups {files[name].group} and {group}; each task is one file{at}")
            elif not template.is_file():
                problems.append(Absent(f"{template} does not exist, the template of {name}{_similar(template)}{at}"))
                files[name] = TaskFile(folder / own / name, group, {})
            else:
                made = _task_values(template, Tree(values, tree.lines), group, checks, problems)
                files[name] = TaskFile(folder / own / name, group, made)
    stages = _stages(values.get("run_task"), files, tree.lines, problems)
    if problems:
        refuse(str(path), problems)
    return Project(path, tuple(files.values()), stages)


def _own_values(tree: Tree, source: str) -> dict[Any, Any]:
    """Follow the references of the keys that make the project; all others wait for a task's file."""
    groups = tree.values.get("task_group")
    if not isinstance(groups, Mapping):
        return {**tree.values, **tree.plain(source, KEYS)}
    lists = {
        group: {"task_list": block["task_list"]}
        for group, block in groups.items()
        if isinstance(block, Mapping) and "task_list" in block
    }
    own = Tree({**tree.values, "task_group": lists}, tree.lines).plain(source, KEYS)
    lists = own["task_group"]
    groups = {group: {**block, **lists[group]} if group in lists else block for group, block in groups.items()}
    return {**tree.values, **own, "task_group": groups}


def _task_values(
    template: Path, project: Tree, group: str, checks: Sequence[Check], problems: list[str]
) -> Mapping[str, Any]:
    """Merge variables and a group's keys over a template, rename the runs, and note what is wrong with the whole."""
    own = {key: project.values[key] for key in KEYS if key in project.values}
    variables = {key: value for key, value in project.values.items() if key not in KEYS}
    block = {key: value for key, value in own["task_group"][group].items() if key != "task_list"}
    try:
        merged = read_tree(template).under(Tree(variables, project.lines))
        merged = merged.under(Tree(block, project.lines.below(f"task_group.{group}")))
        values = Tree({**merged.values, **own}, merged.lines).plain(str(template), merged.values)
        values = _with_runs(values, own.get("base_dir", "task"), own["project_dir"])
        _, found = attempt(Tree(values, merged.lines, merged.problems), source=str(template), checks=checks)
    except ValueError as error:
        problems.append(str(error))
        return {}
    problems.extend(found)
    return values


def _with_runs(values: Any, base: str, own: str, above: str = "") -> Any:
    if above in RUN_PATHS and isinstance(values, str):
        return rename_run(values, base, own)
    if not isinstance(values, Mapping):
        return values
    return {key: _with_runs(value, base, own, dotted(above, key)) for key, value in values.items()}


def rename_run(path: str, base: str, own: str) -> str:
    """Turn the folder of the templates' runs into the project's.

    Args:
        path: for example ``"runs/task/vtt/checkpoint_last.pt"``.
        base: the templates' folder, for example ``"task"``.
        own: the project's, for example ``"retri/videoclip"``.

    Returns:
        For example ``"runs/retri/videoclip/vtt/checkpoint_last.pt"``; a path elsewhere as it is.
    """
    start = f"runs/{base}"
    return f"runs/{own}{path[len(start) :]}" if path == start or path.startswith(f"{start}/") else path


def _projects_folder(path: Path) -> Path:
    parts = path.parts[:-1]
    if "projects" not in parts:
        return Path("projects")
    last = len(parts) - parts[::-1].index("projects")
    return Path(*parts[:last])


def _shape(values: Mapping[Any, Any], lines: Lines) -> Iterator[str]:
    """Tell what in a project's file is not as it should be."""
    for key in values:
        near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=NEAR)
        if key in BLOCKS and key not in KEYS:
            yield f"{key} belongs to a group of tasks: task_group.<group>.{key}{lines(str(key))}"
        elif near and key not in KEYS:
            yield f"{key} is not known; did you mean {near[0]!r}?{lines(str(key))}"
    for key in ("project_dir", "base_dir"):
        name = values.get(key, "task" if key == "base_dir" else None)
        if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            about = "is missing" if name is None else f"is {name!r}"
            yield f"{key} {about}; it takes a folder below projects, for example retri/mine{lines(key)}"
    groups = values.get("task_group")
    if not isinstance(groups, Mapping) or not groups:
        yield f"task_group is {groups!r}; it takes groups of tasks, for example pretrain:{lines('task_group')}"
        return
    for group, block in groups.items():
        yield from _group_shape(f"task_group.{group}", block, lines)


def _group_shape(name: str, block: Any, lines: Lines) -> Iterator[str]:
    if not isinstance(block, Mapping):
        yield f"{name} is not a block of keys{lines(name)}"
        return
    tasks = block.get("task_list")
    if not isinstance(tasks, list) or not all(isinstance(task, str) and _is_name(task) for task in tasks):
        about = "is missing" if "task_list" not in block else f"is {tasks!r}"
        at = lines(f"{name}.task_list")
        yield f"{name}.task_list {about}; it takes names of templates, for example [vtt.yaml]{at}"


def _is_name(task: str) -> bool:
    return Path(task).name == task and task.endswith(".yaml")


def _similar(template: Path) -> str:
    if not template.parent.is_dir():
        return f"; there is no folder {template.parent}"
    return nearest(template.name, sorted(file.name for file in template.parent.glob("*.yaml")))


def _stages(
    listed: Any, files: Mapping[str, TaskFile], lines: Lines, problems: list[str]
) -> tuple[tuple[Path, ...], ...]:
    """Find the files of the stages: a name is a stage, and so is a list of names."""
    if listed is None:
        return ()
    if not isinstance(listed, list):
        problems.append(f"run_task is {listed!r}; it takes a list of tasks{lines('run_task')}")
        return ()
    stages = []
    for index, entry in enumerate(listed):
        stage = []
        for name in entry if isinstance(entry, list) else [entry]:
            if name in files:
                stage.append(files[name].path)
            elif name not in NEVER_WAS:
                at = lines(f"run_task.{index}")
                problems.append(f"run_task names {name!r}, which is in no task_list{nearest(name, files)}{at}")
        stages.append(tuple(stage))
    return tuple(stages)
