"""What pyproject.toml and constraints.txt say of the packages that this one needs."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
DRIVERS = re.compile(r"cuda|nvidia|triton")  # what torch brings along where there is a GPU, in versions of its own


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


# Libraries of an extra that one folder imports at the top; its command asks for the extra before it loads the folder.
FENCED = {
    "accelerate": ("train", "mmpt/training/"),
    **dict.fromkeys(("pyarrow", "regex", "snowballstemmer"), ("search", "mmpt/search/")),
    **dict.fromkeys(("anyio", "fastapi", "pydantic", "starlette", "uvicorn"), ("serve", "mmpt/server/")),
}


def test_what_the_package_imports_is_declared() -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    distributions = packages_distributions()
    used = {
        name: path.relative_to(ROOT)
        for path in (ROOT / "mmpt").rglob("*.py")
        for name in imported(ast.parse(path.read_text()))
        if name not in sys.stdlib_module_names and name != "mmpt" and name not in FENCED
    }
    assert {"torch", "yaml", "huggingface_hub", "packaging"} <= set(used)
    undeclared = {
        f"{path} imports {name}"
        for name, path in used.items()
        if not declared & {canonicalize_name(owner) for owner in distributions.get(name, [])}
    }
    assert not undeclared
    needed = {canonicalize_name(owner) for name in used for owner in distributions[name]}
    assert not declared - needed, "declared, but nothing imports it"


@pytest.mark.parametrize("library", FENCED)
def test_a_library_of_an_extra_stays_in_its_folder(library: str) -> None:
    extra, folder = FENCED[library]
    assert library in {Requirement(line).name for line in PROJECT["optional-dependencies"][extra]}
    files = [path for path in (ROOT / "mmpt").rglob("*.py") if library in imported(ast.parse(path.read_text()))]
    assert files and all(str(path.relative_to(ROOT)).startswith(folder) for path in files)


def test_the_tested_versions_are_listed_once_and_in_order() -> None:
    comment, *pins = CONSTRAINTS
    assert comment.startswith("# ")
    names = [canonicalize_name(Requirement(pin).name) for pin in pins]
    assert len(set(names)) == len(names)
    assert [pin.partition("==")[0].lower() for pin in pins] == sorted(pin.partition("==")[0].lower() for pin in pins)
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+(\.post\d+)?", pin) for pin in pins), (
        "no build such as +cpu: the index decides that"
    )


def closure(requirement: Requirement, seen: set[tuple[str, str]]) -> None:
    """Note a distribution, with the extra it was asked for by, and everything below it that is installed."""
    for extra in ("", *requirement.extras):
        key = (canonicalize_name(requirement.name), extra)
        if key in seen:
            continue
        try:
            below = requires(requirement.name) or []
        except PackageNotFoundError:
            return  # not asked for on this machine
        seen.add(key)
        for line in map(Requirement, below):
            if line.marker is None or line.marker.evaluate({"extra": extra}):
                closure(line, seen)


@pytest.mark.parametrize("group", ["dependencies", "dev", "openvino"])
def test_every_needed_version_is_pinned(group: str) -> None:
    lines = PROJECT["dependencies"] if group == "dependencies" else PROJECT["optional-dependencies"][group]
    seen: set[tuple[str, str]] = set()
    for line in lines:
        closure(Requirement(line), seen)
    if not seen:
        pytest.skip(f"the extra {group!r} is not installed")
    pinned = {canonicalize_name(Requirement(pin).name) for pin in CONSTRAINTS[1:]}
    assert not {name for name, _ in seen if not DRIVERS.match(name)} - pinned
