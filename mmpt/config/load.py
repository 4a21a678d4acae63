"""YAML file -> includes -> merge -> `key=value` overrides -> RunConfig."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mmpt.config.schema import DatasetConfig, ModelConfig, RunConfig
from mmpt.config.typed import fill, nearest

Block = TypeVar("Block", DatasetConfig, ModelConfig)

# What a file may say at its top. Other keys are let through, for a user's own code may read them, unless they look
# like one of these misspelt.
BLOCKS = (
    *("dataset", "model", "loss", "task", "task_type", "fairseq", "eval", "slurm_config"),
    *("metric", "predictor", "gen_param"),  # an evaluation
    *("retri_epoch", "num_cands", "vectorpool_cls", "retriever_cls"),  # training with retrieved videos
    *("project_dir", "base_dir", "run_task", "task_lists"),  # a project of many tasks
)
NEAR = 0.8  # the part of two names' letters that agree where one is taken for the other misspelt


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a project's YAML file.

    Args:
        path: the file. Names under its `includes:` are looked for from the current folder, then from the folders
            above the file.
        overrides: ``key=value`` pairs in dotted form, for example ``"dataset.max_video_len=16"``.

    Returns:
        The typed values.

    Raises:
        FileNotFoundError: the file, or one that it includes, does not exist.
        ValueError: the YAML cannot be parsed, a required key is missing, a `model` key is unknown, a top-level key is
            nearly a known one, or a value has the wrong type: all such problems of the file are reported at once. Or
            an override is not of the form ``key=value``, or belongs to no block.
    """
    path = Path(path)
    return resolve(_read_yaml(path, seen=()), source=str(path), overrides=overrides)


def parse_config(text: str, *, source: str = "<text>", overrides: Sequence[str] = ()) -> RunConfig:
    """Read YAML text that includes no other file.

    Args:
        text: the YAML.
        source: what error messages call it.
        overrides: ``key=value`` pairs in dotted form.

    Returns:
        The typed values.

    Raises:
        ValueError: as for `load_config`.
    """
    try:
        tree = OmegaConf.create(text)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{source} is not valid YAML: {error}") from error
    return resolve(_mapping(tree, source), source=source, overrides=overrides)


def resolve(tree: DictConfig, *, source: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Turn a merged tree into typed values.

    Args:
        tree: the merged YAML.
        source: what error messages call it.
        overrides: ``key=value`` pairs in dotted form.

    Returns:
        The typed values.

    Raises:
        ValueError: as for `load_config`.
    """
    for override in overrides:
        _check_override(override, [*BLOCKS, *(str(key) for key in tree)])
    try:
        merged = OmegaConf.merge(tree, OmegaConf.from_dotlist(list(overrides)))
        raw: Any = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"{source}: {error}") from error
    problems = _misspelt(raw)
    save_path = _save_path(raw.get("eval"), problems)
    dataset = _block(DatasetConfig, raw.get("dataset"), "dataset", problems, collect="extra")
    model = _block(ModelConfig, raw.get("model"), "model", problems)
    if dataset is None or model is None or problems:
        raise ValueError(f"{source} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return RunConfig(dataset=dataset, model=model, save_path=save_path, source=source, raw=raw)


def find_project_file(relative: str) -> Path:
    """Find one of the YAML files that come with this package.

    Args:
        relative: its path below ``projects/``.

    Returns:
        The file in the current folder's ``projects/`` when it is there, else the package's own.

    Raises:
        FileNotFoundError: it is in neither.
    """
    package = Path(__file__).resolve().parent.parent
    places = [Path("projects"), package / "projects", package.parent / "projects"]  # here, installed, in a clone
    for place in places:
        if (place / relative).is_file():
            return place / relative
    raise FileNotFoundError(f"{relative} is in none of {', '.join(map(str, places))}; install the package again")


def project_root(path: Path) -> Path | None:
    """Find the folder that the names in a project's YAML file are relative to.

    Args:
        path: a file somewhere below a folder named ``projects``.

    Returns:
        The folder that holds ``projects``, or None when the file lies elsewhere.
    """
    for parent in path.resolve().parents:
        if parent.name == "projects":
            return parent.parent
    return None


def _read_yaml(path: Path, seen: tuple[Path, ...]) -> DictConfig:
    if path.is_dir() or not path.exists():
        kind = "is a folder, not a YAML file" if path.is_dir() else "does not exist"
        chain = f" (included by {seen[-1]})" if seen else ""
        raise FileNotFoundError(f"{path}{chain} {kind}; the projects of this package are under projects/")
    if path.resolve() in seen:
        raise ValueError(f"{path} includes itself, by way of {', '.join(map(str, seen))}")
    try:
        tree = _mapping(OmegaConf.load(path), str(path))
        includes = tree.pop("includes", None)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    merged = DictConfig({})
    for name in _names(includes, path):
        merged = OmegaConf.merge(merged, _read_yaml(_included(name, path), (*seen, path.resolve())))
    result = OmegaConf.merge(merged, tree)
    assert isinstance(result, DictConfig)
    return result


def _names(includes: Any, path: Path) -> list[str]:
    """Read what a file says under `includes:`, one name or a list of them."""
    listed = OmegaConf.to_container(includes) if isinstance(includes, ListConfig | DictConfig) else includes
    names = [] if listed is None else [listed] if isinstance(listed, str) else listed
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{path}: includes is {listed!r}; it takes the name of a YAML file, or a list of such names")
    return names


def _included(name: str, by: Path) -> Path:
    root = project_root(by)
    places = [Path(name), *([root / name] if root else []), by.parent / name]
    return next((place for place in places if place.exists()), places[0])


def _mapping(tree: Any, source: str) -> DictConfig:
    if not isinstance(tree, DictConfig):
        raise ValueError(f"{source} holds no mapping of keys to values; it takes blocks such as dataset: and model:")
    return tree


def _check_override(override: str, known: Sequence[str]) -> None:
    """Refuse an override that nothing would read."""
    key, equals, _ = override.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ValueError(f"override {override!r} is not of the form key=value, for example dataset.max_len=96")
    try:
        (first,) = OmegaConf.from_dotlist([override])
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"the value of override {override!r} is not valid YAML: {error}") from error
    if first not in known:
        raise ValueError(f"override {override!r}: there is no block {first!r}{nearest(first, known)}")


def _misspelt(raw: Mapping[Any, Any]) -> list[str]:
    """Tell each top-level key that is nearly, but not quite, one that means something."""
    problems = []
    for key in raw:
        near = difflib.get_close_matches(str(key), (*BLOCKS, "includes"), n=1, cutoff=NEAR)
        if key == "includes":
            problems.append("includes is followed in files only; write out here what the other file says")
        elif near and key not in BLOCKS:
            problems.append(f"the block {key!r} is not known; did you mean {near[0]!r}?")
    return problems


def _save_path(values: Any, problems: list[str]) -> str | None:
    if values is None:
        return None
    if not isinstance(values, Mapping):
        problems.append(f"'eval' is {values!r}, not a block of keys such as save_path: runs/mine")
        return None
    save_path = values.get("save_path")
    if save_path is not None and not isinstance(save_path, str):
        problems.append(f"eval.save_path is {save_path!r}; it takes str or null, the folder of the checkpoints")
        return None
    return save_path


def _block(cls: type[Block], values: Any, name: str, problems: list[str], collect: str | None = None) -> Block | None:
    if not isinstance(values, Mapping):
        problems.append(f"the block {name!r} is missing" if values is None else f"{name!r} is not a block of keys")
        return None
    return fill(cls, values, name, problems, collect=collect)
