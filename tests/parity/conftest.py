"""The parity suite: recorded cases become tests, and what nobody checks is told.

A test module covers one folder of the recorded numbers. It says so in COVERS, and lists the folder's cases in
`list_cases(folder)`, so that another set, recorded with other seeds, runs through the same code.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import golden_folder

# folders that test modules of this suite cover; others are named at the end of a run
COVERED = (
    "01_checkpoints",
    "02_models",
    "03_losses",
    "04_nlg",
    "05_s3d",
    "06_e2e",
    "07_processors",
    "07_random",
    "08_dedup",
    "09_metrics_predictors",
    "10_shards",
    "11_retrieval",
    "12_config",
    "13_init_from_bert",
    "14_eval",
)
SUPPORT = ("common",)  # what cases refer to


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module: Any = metafunc.module
    covers = getattr(module, "COVERS", None)
    if covers is None or "case" not in metafunc.fixturenames:
        return
    folder = golden_folder(metafunc.config) / covers
    cases = module.list_cases(folder) if folder.is_dir() else []
    metafunc.parametrize("case", cases, ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what reads a folder that this set of recorded numbers does not have."""
    golden = golden_folder(config)
    for item in items:
        covers = getattr(getattr(item, "module", None), "COVERS", None)
        if covers in COVERED and "golden_dir" in getattr(item, "fixturenames", ()) and not (golden / covers).is_dir():
            item.add_marker(pytest.mark.skip(reason=f"{golden / covers} is absent"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    folder = golden_folder(terminalreporter.config)
    if not folder.is_dir():
        return
    missing = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in COVERED + SUPPORT]
    absent = [name for name in COVERED if not (folder / name).is_dir()]
    terminalreporter.write_line(f"parity with {folder}: covered {', '.join(sorted(set(COVERED) - set(absent)))}")
    if missing:
        terminalreporter.write_line(f"parity: not yet covered: {', '.join(missing)}")
    if absent:
        terminalreporter.write_line(f"parity: not in this folder: {', '.join(absent)}")


@pytest.fixture
def in_common(golden_dir: Path) -> Iterator[Path]:
    """Stand where `bert_name: tiny-bert` is a folder, as recorded cases expect."""
    before = Path.cwd()
    os.chdir(golden_dir / "common")
    yield golden_dir
    os.chdir(before)
