"""A library's own model: where it lay, where else it may be looked for, and what to say when it is nowhere."""

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
    """Say where a model lies, for a library to keep.

    Args:
        place: where it was loaded from; None where it was made.
        folder: the library's; None where it has none.

    Returns:
        path and home of the place, and the library's folder: where all three are moved together, the model is found by
        its way from there.
    """
    if place is None:
        return {}
    return {"path": place.path, "home": place.home, "library": "" if folder is None else str(folder)}


def remember_place(store: Store, place: ModelPlace | None) -> None:
    """Keep where a library's model lies, where that is not known, or nothing is there any more."""
    if place is None or not (place.path or store.about["model"]["name"] in PUBLISHED):
        return
    kept = store.model_place
    is_there = os.path.exists(kept.get("path") or kept.get("home") or "")
    now = describe_place(ModelPlace(kept["path"], kept["home"]) if is_there else place, store.folder)
    if now == kept:
        return
    try:
        store.move_model(now)
    except OSError as error:  # a library that is only read works all the same
        logger.info("cannot keep where the model lies (%s)", error)


def load_own(store: Store, **loading: Any) -> Scorer:
    """Load the model that a library was made with.

    Args:
        store: the library.
        loading: as `load` takes it.

    Returns:
        The model; its weights are the library's.

    Raises:
        FileNotFoundError: it is not where it lay, nor anywhere else that it is looked for.
        ValueError: it is there, and cannot be loaded.
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
            problems.append((place.path, f"it has other weights there ({fingerprint(scorer.model)[:12]})"))
            continue
        scorer.name = made["name"]
        if name != made["name"] and not store.model_place:  # of an earlier version, which kept no more than a name
            warnings.warn(
                f"the library at {store.address} calls its model {made['name']!r}, as seen from a folder that it does "
                f"not tell; it was found at {place.path}, and mmpt index update --model {place.path} remembers it",
                stacklevel=2,
            )
        return scorer
    if len(problems) == 1 and isinstance(error := problems[0][1], Exception) and made["name"] not in PUBLISHED:
        raise error
    raise FileNotFoundError(_lacking(store, problems))


def _places(store: Store) -> Iterator[tuple[str, str]]:
    """Names and homes to load a library's model by, the likeliest first."""
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
    """A path that is as far from a folder as it was from where that was."""
    return os.path.normpath(now / os.path.relpath(path, before))


def _lacking(store: Store, problems: list[tuple[str, Exception | str]]) -> str:
    made, kept = store.about["model"], store.model_place
    lay = kept.get("path") or kept.get("home", "")
    if lay:
        where = f"which lay at {lay}" if kept.get("path") else f"whose weights lay below {lay}"
    else:
        where = f"given as {made['name']!r} when the library was made, from a folder that it does not tell"
    told = "; ".join(dict.fromkeys(f"{place}: {problem}" if place else str(problem) for place, problem in problems[:3]))
    return (
        f"the library at {store.address} needs the model {made['name']} (weights {made['sha256'][:12]}), {where}, and "
        f"is not found{f' ({told})' if told else ''}. Say where it is with --model PATH, in Python model=PATH: it is "
        "taken where its weights are the same; mmpt index update --model PATH remembers it"
    )
