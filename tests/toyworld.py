"""A toy world and a model that was trained in it, small but real, made once for all tests of a session."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmpt.cli.demo import TRAINED, overrides, standing_in, steps
from mmpt.cli.demo_training import train
from mmpt.cli.main import main
from mmpt.config.load import find_project_file

VIDEOS, UPDATES, SEED = 48, 300, 0
DONE = "done"


@dataclass(frozen=True)
class ToyWorld:
    """Where it all lies.

    Attributes:
        home: the working folder; relative paths of YAML files start there.
        world: the toy world's folder: videos, heldout, clips, features, record.json.
        yaml: of the trained model, as `mmpt.load` takes it, standing in `home` or with $MMPT_HOME.
    """

    home: Path
    world: Path
    yaml: Path


def make_toyworld(home: Path, *, videos: int = VIDEOS, updates: int = UPDATES) -> ToyWorld:
    """Make a world, prepare it and train VideoCLIP in it, as `mmpt demo` does.

    Args:
        home: the folder to take the place of the working folder.
        videos: how many to learn from; a fifth as many are held out.
        updates: of the training.

    Returns:
        Where it lies.
    """
    with standing_in(home):
        for _, commands in steps(videos, SEED):
            for words in commands:
                if "--workers" in words:  # a process of its own takes longer to start than these videos to be read
                    words = [*words[: words.index("--workers")], "--workers", "1"]
                assert main(words) == 0, words
        yaml = find_project_file(TRAINED)
        train(yaml, overrides(videos, updates, SEED))
    return ToyWorld(home, home / "data" / "toy", yaml.absolute())


def shared_toyworld(base: Path) -> ToyWorld:
    """Make it, or take what another process of the session has made.

    Args:
        base: a folder that all processes of the session share.

    Returns:
        Where it lies.
    """
    home = base / "toyworld"
    home.mkdir(exist_ok=True)
    with _alone(base / "toyworld.lock"):
        made = make_toyworld(home) if not (home / DONE).exists() else None
        (home / DONE).touch()
    yaml = find_project_file(TRAINED)
    return made or ToyWorld(home, home / "data" / "toy", yaml.absolute())


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
