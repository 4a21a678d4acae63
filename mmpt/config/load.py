"""YAML file -> includes -> merge -> `key=value` overrides -> RunConfig."""

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from mmpt.config.legacy import read_legacy
from mmpt.config.schema import DatasetConfig, LossConfig, ModelConfig, RunConfig, TaskConfig
from mmpt.config.tree import Tree, override, package_roots, parse_tree, project_root, read_tree
from mmpt.config.typed import Absent, Where, fill

__all__ = ["Check", "attempt", "find_project_file", "load_config", "parse_config", "project_root", "refuse", "resolve"]

Block = TypeVar("Block", DatasetConfig, ModelConfig, LossConfig)

# Looks at the plain values of a file, and tells what is wrong with them; it stands in a layer that knows the classes.
Check = Callable[[Mapping[str, Any], Where], Iterable[str]]

# What a file may say at its top. Other keys are let through, for a user's own code may read them, unless they look
# like one of these misspelt.
BLOCKS = (
    *("dataset", "model", "loss", "fairseq", "eval"),
    *(entry.name for entry in fields(TaskConfig)),
    *("project_dir", "base_dir", "run_task", "task_group"),  # a project of many tasks
)
NEAR = 0.8  # the part of two names' letters that agree where one is taken for the other misspelt


def load_config(path: str | Path, overrides: Sequence[str] = (), *, checks: Sequence[Check] = ()) -> RunConfig:
    """Read a project's YAML file.

    Nothing is written, and keys of the `fairseq:` block that nothing here acts on are told in one warning.

    Args:
        path: the file; below ``projects/`` it may be one of this package. Names under its `includes:` are looked for
            from the current folder, from the folder that holds ``projects``, from the file's own folder, and among
            this package's own projects.
        overrides: ``key=value`` pairs in dotted form, for example ``"dataset.max_video_len=16"``.
        checks: what else is looked at, such as whether classes and files are there.

    Returns:
        The typed values.

    Raises:
        FileNotFoundError: the file, or one that it includes, does not exist.
        ValueError: the YAML cannot be parsed, a required key is missing, a key is unknown or nearly a known one, a
            value has the wrong type, an override is not of the form ``key=value`` or belongs to no block, or a check
            found something: all such problems of the file are reported at once, each with its line.
    """
    path = Path(path)
    return resolve(read_tree(path), source=str(path), overrides=overrides, checks=checks)


def parse_config(
    text: str, *, source: str = "<text>", overrides: Sequence[str] = (), checks: Sequence[Check] = ()
) -> RunConfig:
    """Read YAML text that includes no other file.

    Args:
        text: the YAML.
        source: what error messages call it.
        overrides: ``key=value`` pairs in dotted form.
        checks: what else is looked at.

    Returns:
        The typed values.

    Raises:
        ValueError: as for `load_config`.
    """
    return resolve(parse_tree(text, source), source=source, overrides=overrides, checks=checks)


def resolve(tree: Tree, *, source: str, overrides: Sequence[str] = (), checks: Sequence[Check] = ()) -> RunConfig:
    """Turn a merged tree into typed values.

    Args:
        tree: the merged YAML.
        source: what error messages call it.
        overrides: ``key=value`` pairs in dotted form.
        checks: what else is looked at.

    Returns:
        The typed values.

    Raises:
        FileNotFoundError: as for `load_config`.
        ValueError: as for `load_config`.
    """
    run, problems = attempt(tree, source=source, overrides=overrides, checks=checks)
    if run is None:
        refuse(source, problems)
    return run


def attempt(
    tree: Tree, *, source: str, overrides: Sequence[str] = (), checks: Sequence[Check] = ()
) -> tuple[RunConfig | None, list[str]]:
    """Turn a merged tree into typed values, or say all that is wrong with it.

    Args:
        tree: the merged YAML.
        source: what error messages call it.
        overrides: ``key=value`` pairs in dotted form.
        checks: what else is looked at.

    Returns:
        The typed values, None when there is a problem; and the problems.

    Raises:
        ValueError: a reference in the file leads nowhere.
    """
    partial = bool(tree.problems)  # what it does not say may stand in a file that could not be read
    tree = override(tree, overrides, BLOCKS)
    raw, where = tree.plain(source), tree.lines
    problems = [*tree.problems, *_misspelt(raw, where)]
    save_path = _save_path(raw.get("eval"), problems, where)
    dataset = _block(DatasetConfig, raw, "dataset", problems, where, partial=partial, collect="extra")
    model = _block(ModelConfig, raw, "model", problems, where, partial=partial)
    loss = _block(LossConfig, raw, "loss", problems, where, partial=partial) if "loss" in raw else None
    top = {entry.name: raw[entry.name] for entry in fields(TaskConfig) if entry.name in raw}
    task = fill(TaskConfig, top, "", problems, where=where)
    legacy = read_legacy(raw.get("fairseq"), problems, where)
    for check in checks:
        problems.extend(check(raw, where))
    if problems or dataset is None or model is None or task is None:
        assert problems, "what is missing is told"
        return None, problems
    if legacy.ignored:
        listed = ", ".join(f"{key}{where(key)}" for key in legacy.ignored)
        warnings.warn(f"{source}: nothing here acts on {listed}; the run goes on without", stacklevel=4)
    run = RunConfig(
        dataset=dataset,
        model=model,
        save_path=save_path,
        source=source,
        raw=raw,
        loss=loss,
        task=task,
        optim=legacy.optim,
        checkpoint=legacy.checkpoint,
        logging=legacy.logging,
        loader=legacy.loader,
    )
    return run, []


def refuse(source: str, problems: Sequence[str]) -> NoReturn:
    """Tell all problems of a file.

    Args:
        source: the file.
        problems: one sentence each.

    Raises:
        FileNotFoundError: all that is wrong is that files are not there.
        ValueError: otherwise.
    """
    message = f"{source} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
    absent = all(isinstance(problem, Absent) for problem in problems)
    raise FileNotFoundError(message) if absent else ValueError(message)


def find_project_file(relative: str) -> Path:
    """Find one of the YAML files that come with this package.

    Args:
        relative: its path below ``projects/``.

    Returns:
        The file in the current folder's ``projects/`` when it is there, else the package's own.

    Raises:
        FileNotFoundError: it is in neither.
    """
    places = [root / "projects" for root in (Path("."), *package_roots())]
    for place in places:
        if (place / relative).is_file():
            return place / relative
    raise FileNotFoundError(f"{relative} is in none of {', '.join(map(str, places))}; install the package again")


def _misspelt(raw: Mapping[Any, Any], where: Where) -> list[str]:
    """Tell each top-level key that is nearly, but not quite, one that means something."""
    problems = []
    for key in raw:
        near = difflib.get_close_matches(str(key), (*BLOCKS, "includes"), n=1, cutoff=NEAR)
        if key == "includes":
            problems.append("includes is followed in files only; write out here what the other file says")
        elif near and key not in BLOCKS:
            problems.append(f"the block {key!r} is not known; did you mean {near[0]!r}?{where(str(key))}")
    return problems


def _save_path(values: Any, problems: list[str], where: Where) -> str | None:
    if values is None:
        return None
    if not isinstance(values, Mapping):
        problems.append(f"'eval' is {values!r}, not a block of keys such as save_path: runs/mine{where('eval')}")
        return None
    save_path = values.get("save_path")
    if save_path is not None and not isinstance(save_path, str):
        at = where("eval.save_path")
        problems.append(f"eval.save_path is {save_path!r}; it takes str or null, the folder of the checkpoints{at}")
        return None
    return save_path


def _block(
    cls: type[Block],
    raw: Mapping[str, Any],
    name: str,
    problems: list[str],
    where: Where,
    *,
    partial: bool,
    collect: str | None = None,
) -> Block | None:
    values = raw.get(name)
    if isinstance(values, Mapping):
        return fill(cls, values, name, problems, collect=collect, where=where, partial=partial)
    if values is not None:
        problems.append(f"{name!r} is not a block of keys{where(name)}")
    elif not partial:
        problems.append(f"the block {name!r} is missing")
    return None
