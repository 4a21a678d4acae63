"""YAML files with their includes -> one merged tree that remembers the line of every key."""

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from mmpt.config.typed import Absent, nearest


@dataclass(frozen=True)
class Lines:
    """Where each key of a tree is written.

    Args:
        places: dotted key -> for example ``"projects/task/vtt.yaml, line 4"``.
    """

    places: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, key: str) -> str:
        """Say where a key is written.

        Args:
            key: a dotted key.

        Returns:
            The place in brackets, after a space; that of the nearest block above it when the key itself is nowhere,
            and nothing when there is none.
        """
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return f" ({self.places[key]})" if key else ""

    def below(self, prefix: str) -> "Lines":
        """Give the lines of a block, without the block's name."""
        start = f"{prefix}."
        return Lines({key[len(start) :]: place for key, place in self.places.items() if key.startswith(start)})


@dataclass(frozen=True)
class Tree:
    """A merged tree.

    Args:
        values: what is written: plain dicts, lists and values, references (`${...}`) not followed yet.
        lines: where.
        problems: what could not be read of it: files that it includes, overrides.
    """

    values: Mapping[Any, Any]
    lines: Lines = Lines()
    problems: tuple[str, ...] = ()

    def under(self, above: "Tree") -> "Tree":
        """Merge another tree over this one.

        Args:
            above: its values win; blocks are merged key by key, lists are replaced.

        Returns:
            The merged tree.
        """
        places = {**self.lines.places, **above.lines.places}
        return Tree(_merge(self.values, above.values), Lines(places), (*self.problems, *above.problems))

    def plain(self, source: str, keys: Collection[Any] | None = None) -> dict[Any, Any]:
        """Resolve references.

        Args:
            source: what the error message calls the file.
            keys: the keys of the top that are wanted, which may refer to the others; None for all.

        Returns:
            Dicts, lists and values.

        Raises:
            ValueError: a reference leads nowhere.
        """
        try:
            tree = OmegaConf.create(dict(self.values))
            return {key: _resolved(tree, key) for key in tree if keys is None or key in keys}
        except OmegaConfBaseException as error:
            raise ValueError(f"{source}: {_explained(error, self)}") from error


def read_tree(path: Path) -> Tree:
    """Read a file and what it includes.

    Args:
        path: the file; below ``projects/`` it may be one of this package. Names under its `includes:` are looked
            for from the current folder, then from the folder that holds ``projects``, from the file's own folder, and
            among the projects of this package.

    Returns:
        The merged tree. Included files that cannot be read are among its problems.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not YAML, or holds no mapping.
    """
    if not path.exists() and path.parts[:1] == ("projects",):
        path = next((root / path for root in package_roots() if (root / path).is_file()), path)
    return _read(path, seen=())


def parse_tree(text: str, source: str) -> Tree:
    """Read YAML text, without following its includes.

    Args:
        text: the YAML.
        source: what messages call it.

    Returns:
        The tree.

    Raises:
        ValueError: it is not YAML, or holds no mapping.
    """
    try:
        tree = OmegaConf.load(io.StringIO(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        if mark and "\t" in "".join(text.split("\n")[mark.line : mark.line + 1])[: mark.column + 1]:
            at += "; indent with spaces, not with tabs"
        raise ValueError(f"{source} is not valid YAML: {error.problem or error.context}{at}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {error}") from error
    except OmegaConfBaseException as error:  # a reference without its end
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = Lines(dict(_lines(node, "", source)) if node else {})
        raise ValueError(f"{source}: {_explained(error, Tree({}, lines))}") from error
    except OSError as error:  # a lone number or word
        raise ValueError(_no_mapping(source)) from error
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(tree, DictConfig) or isinstance(node, yaml.ScalarNode):
        raise ValueError(_no_mapping(source))
    return Tree(_unresolved(tree), Lines(dict(_lines(node, "", source)) if node else {}))


def override(tree: Tree, overrides: Sequence[str], known: Sequence[str]) -> Tree:
    """Set keys from the command line.

    Args:
        tree: what the file says.
        overrides: ``key=value`` pairs in dotted form.
        known: the names that a key may begin with, besides those that the file has.

    Returns:
        The tree with them; those that nothing would read are among its problems.
    """
    blocks = [*known, *(str(key) for key in tree.values if str(key) not in known)]
    for text in overrides:
        if problem := _useless(text, blocks) or _into_a_list(text, tree):
            tree = Tree(tree.values, tree.lines, (*tree.problems, problem))
            continue
        key = text.partition("=")[0]
        places = {name: at for name, at in tree.lines.places.items() if not name.startswith(f"{key}.")}
        above = Tree(_unresolved(OmegaConf.from_dotlist([text])), Lines({key: f"override {text}"}))
        tree = Tree(tree.values, Lines(places), tree.problems).under(above)
    return tree


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


def package_roots() -> list[Path]:
    """List where this package's own ``projects`` folder may lie: in an installed package, and in a clone."""
    package = Path(__file__).resolve().parent.parent
    return [package, package.parent]


def _read(path: Path, seen: tuple[Path, ...]) -> Tree:
    if path.is_dir() or not path.exists():
        kind = "is a folder, not a YAML file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {kind}; the projects of this package are under projects/")
    try:
        own = parse_tree(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    includes = own.plain(str(path), ["includes"]).get("includes")
    at = own.lines("includes")
    merged = Tree({})
    for name in _names(includes, path):
        merged = merged.under(_included(name, path, seen=(*seen, path.resolve()), at=at))
    return merged.under(Tree({key: value for key, value in own.values.items() if key != "includes"}, own.lines))


def _included(name: str, by: Path, *, seen: tuple[Path, ...], at: str) -> Tree:
    """Read an included file; what is wrong with it becomes a problem of the whole."""
    path = find_included(name, by)
    if path.resolve() in seen:
        return _nothing(f"{path} includes itself, by way of {', '.join(map(str, seen))}{at}")
    try:
        return _read(path, seen)
    except FileNotFoundError as error:
        number = at.rpartition(", ")[2].rstrip(")")
        return _nothing(Absent(str(error).replace(str(path), f"{path} (included by {number} of {by})", 1)))
    except ValueError as error:
        return _nothing(f"{error} (included by {by})")


def find_included(name: str, by: Path) -> Path:
    """Find an included file.

    Args:
        name: what the file says.
        by: the file that says so.

    Returns:
        Where it is; where it should be when it is nowhere.
    """
    root = project_root(by)
    roots = [Path("."), *([root] if root else []), by.parent, *package_roots()]
    places = [place / name for place in roots]
    return next((place for place in places if place.exists()), places[0])


def _nothing(problem: str) -> Tree:
    return Tree({}, problems=(problem,))


def _resolved(tree: DictConfig, key: Any) -> Any:
    if OmegaConf.is_missing(tree, key):
        return "???"
    return OmegaConf.to_container(tree[key], resolve=True) if OmegaConf.is_config(tree[key]) else tree[key]


def _explained(error: OmegaConfBaseException, tree: Tree) -> str:
    """Say in plain words which reference cannot be followed, why, and where it is written."""
    why = str(error).split("\n")[0]
    if isinstance(error, InterpolationKeyError):
        why = "there is nothing of that name"
    elif any(word in why for word in ("Recurs", "parent node")):
        why = "it leads back to itself"
    key = re.sub(r"\[(\d+)\]", r".\1", str(error.full_key or ""))
    value: Any = tree.values
    for part in key.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)]
    about = f" ({value})" if isinstance(value, str) else ""
    return f"the reference in {key}{about} cannot be followed: {why}{tree.lines(key)}"


def _names(includes: Any, path: Path) -> list[str]:
    """Read what a file says under `includes:`, one name or a list of them."""
    names = [] if includes is None else [includes] if isinstance(includes, str) else includes
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{path}: includes is {includes!r}; it takes the name of a YAML file, or a list of such names")
    return names


def _merge(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}


def _unresolved(tree: DictConfig) -> dict[Any, Any]:
    values: Any = OmegaConf.to_container(tree)
    return values


def _no_mapping(source: str) -> str:
    return f"{source} holds no mapping of keys to values; it takes blocks such as dataset: and model:"


def _lines(node: yaml.Node, prefix: str, source: str) -> Iterator[tuple[str, str]]:
    """List the place of every key, those of merged blocks (`<<`) first, for a key of one's own wins."""
    if isinstance(node, yaml.SequenceNode):
        pairs = [(str(index), entry, entry) for index, entry in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    else:
        return
    for name, _, value in pairs:
        if name == "<<":
            for block in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _lines(block, prefix, source)
    for name, key, value in pairs:
        if name != "<<":
            yield f"{prefix}{name}", f"{source}, line {key.start_mark.line + 1}"
            yield from _lines(value, f"{prefix}{name}.", source)


def _useless(text: str, known: Sequence[str]) -> str | None:
    """Say why nothing would read an override."""
    key, equals, _ = text.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        return f"override {text!r} is not of the form key=value, for example dataset.max_len=96"
    try:
        (first,) = OmegaConf.from_dotlist([text])
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        return f"the value of override {text!r} is not valid YAML: {error}"
    return None if str(first) in known else f"override {text!r}: there is no block {first!r}{nearest(first, known)}"


def _into_a_list(text: str, tree: Tree) -> str | None:
    """Say that an override changes one entry of a list, which would make a block of numbered keys of it."""
    value: Any = tree.values
    passed: list[str] = []
    for part in re.findall(r"[^.\[\]]+", text.partition("=")[0]):
        numbered = part.lstrip("-").isdecimal() and passed and not isinstance(value, Mapping)
        if isinstance(value, list) or numbered:
            return f"override {text!r}: lists are replaced as a whole: {'.'.join(passed)}=[a,b]"
        value = value.get(part) if isinstance(value, Mapping) else None
        passed.append(part)
    return None
