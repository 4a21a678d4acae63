"""Worlds that tests of training share; each test writes its runs to a folder of its own."""

from pathlib import Path

import pytest

from tests.training.worlds import SECONDS, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven videos in shards and a BERT; dropout as usual."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def calm_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos, without dropout."""
    return make_world(tmp_path_factory.mktemp("calm"), seconds=(*SECONDS, 10), dropout=0.0)


@pytest.fixture(scope="session")
def even_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos, so that two processes have as many batches."""
    return make_world(tmp_path_factory.mktemp("even"), seconds=(*SECONDS, 10))
