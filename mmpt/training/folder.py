"""A run's folder: one training writes there at a time, and what a killed one left half-written goes."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from mmpt.training.checkpoint import STATE
from mmpt.training.metrics_log import FILE as METRICS
from mmpt.utils.folderlock import only_writer

# what `atomic_path` calls a file of a training until it is whole
HALF_WRITTEN = re.compile(r"\.(checkpoint.*|training_state|metrics|nonfinite_.*)\.[0-9a-f]{12}\.(pt|safetensors|jsonl)")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run's folder, which is made; and removed again where nothing came into it.

    Args:
        folder: the run's.

    Raises:
        ValueError: another training writes there.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with only_writer(folder, "the checkpoints of a training"):
            for path in folder.iterdir():
                if HALF_WRITTEN.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            yield
    finally:
        with contextlib.suppress(OSError):  # one that is not empty
            for path in made:
                path.rmdir()


def forget(folder: Path) -> None:
    """Make a run's folder one that nothing goes on from. Checkpoints stay until others take their names.

    Args:
        folder: the run's.
    """
    for name in (STATE, METRICS):
        (folder / name).unlink(missing_ok=True)
