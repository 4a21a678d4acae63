"""Find a library's own model: where it was, where else it may be, and the error if it is nowhere."""

import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmpt.models.scorer import PUBLISHED, ModelPlace, Scorer, find_place, load
from mmpt.search.identity import fingerprint, is_made_with
from mmpt.search.store import Store
from mmpt.utils.places import at_home

logger = logging.getLogger(__name__)


def describe_place(place: ModelPlace | None, folder: Path | None) -> dict[str, str]:
    """Describe where a model lies, to be stored in a library.

    Args:
        place: where it was loaded from; None if it was made in memory.
        folder: of the library; None if it is not in a local folder.

    Returns:
        path and home of the place, and the library's folder: if all are moved together, the model is found relative to
        the library.
    """
    if place is None:
        return {}
    return {"path": place.path, "home": place.home, "library": "" if folder is None else str(folder)}


def remember_place(store: Store, place: ModelPlace | None) -> None:
    """Store where a library's model lies, if that is unknown or the stored place no longer exists."""
    if place is None or not (place.path or store.about["model"]["name"] in PUBLISHED):
        return
    kept = store.model_place
    is_there = os.path.exists(kept.get("path") or kept.get("home") or "")
    now = describe_place(ModelPlace(kept["path"], kept["home"]) if is_there else place, store.folder)
    if now == kept:
        return
    try:
        store.move_model(now)
    except OSError as error:  # a read-only library works all the same
        logger.info("cannot store where the model lies (%s)", error)


def load_own(store: Store, **loading: Any) -> Scorer:
    """Load the model that a library was made with.

    Args:
        store: the library.
        loading: keyword arguments of `load`.

    Returns:
        The model; its weights are the library's.

    Raises:
        FileNotFoundError: it is neither in its stored place nor in any other that is searched.
        ValueError: it was found, but cannot be loaded.
    """
    made = store.about["model"]
    problems: list[tuple[str, Exception | str]] = []
    tried: set[ModelPlace] = set()
    for name, home in _places(store):
        with at_home(home):
            place = find_place(name)
            place = replace(place, home="") if os.path.isdir(place.path) else place  # paths in a folder need no home
            if place in tried or not (place.path or made["name"] in PUBLISHED):
                continue
            tried.add(place)
            try:
                scorer = load(name, **loading)
            except (OSError, ValueError) as error:
                problems.append((place.path or place.home, error))
                continue
        if not is_made_with(store.about, scorer):
            problems.append((place.path, f"the model there has other weights ({fingerprint(scorer.model)[:12]})"))
            continue
        scorer.name = made["name"]
        if name != made["name"] and not store.model_place:  # of an earlier version, which kept no more than a name
            warnings.warn(
                f"the library at {store.address} calls its model {made['name']!r}, relative to a folder that was not "
                f"stored; it was found at {place.path}; to store that, run mmpt index update --model {place.path}",
                stacklevel=2,
            )
        return scorer
    if len(problems) == 1 and isinstance(error := problems[0][1], Exception) and made["name"] not in PUBLISHED:
        raise error
    raise FileNotFoundError(_lacking(store, problems))


def _places(store: Store) -> Iterator[tuple[str, str]]:
    """Yield names and home folders by which a library's model may be loaded, the likeliest first."""
    name, kept, folder = store.about["model"]["name"], store.model_place, store.folder
    places = [(kept["path"] or name, kept["home"])] if kept else []
    if kept.get("library") and folder is not None:
        path, home = (part and _moved(part, kept["library"], folder) for part in (kept["path"], kept["home"]))
        places.append((path or name, home))
    places.append((name, ""))  # from the current folder, and $MMPT_HOME
    if folder is not None and not os.path.isabs(os.path.expanduser(name)):
        places += [(name if name in PUBLISHED else str(top / name), str(top)) for top in folder.parents]
    yield from dict.fromkeys(places)


def _moved(path: str, before: str, now: Path) -> str:
    """The path that lies relative to the library's present folder as it did to the earlier one."""
    return os.path.normpath(now / os.path.relpath(path, before))


def _lacking(store: Store, problems: list[tuple[str, Exception | str]]) -> str:
    made, kept = store.about["model"], store.model_place
    lay = kept.get("path") or kept.get("home", "")
    if lay:
        where = f"which lay at {lay}" if kept.get("path") else f"whose weights lay below {lay}"
    else:
        where = f"given as {made['name']!r} when the library was made, relative to a folder that was not stored"
    told = "; ".join(dict.fromkeys(f"{place}: {problem}" if place else str(problem) for place, problem in problems[:3]))
    return (
        f"the library at {store.address} needs the model {made['name']} (weights {made['sha256'][:12]}), {where}, and "
        f"is not found{f' ({told})' if told else ''}. Say where it is with --model PATH, in Python model=PATH; its "
        "weights must be the same. mmpt index update --model PATH stores the new place"
    )
