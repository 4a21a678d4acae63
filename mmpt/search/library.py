"""A library of one's own videos: put videos in, and search them by text."""

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.models.scorer import Scorer, find_place, load
from mmpt.search.checking import Problem, check, export, stats
from mmpt.search.copies import without
from mmpt.search.identity import check_backbone, check_model, describe
from mmpt.search.ingest import ID_LETTERS, Event, Ingest, Listener, Report
from mmpt.search.matrix import WindowMatrix
from mmpt.search.own_model import describe_place, load_own, remember_place
from mmpt.search.query import Query, Results, search
from mmpt.search.records import Caption, VideoRecord
from mmpt.search.sources import (
    SourceLookup,
    absolute,
    check_name,
    is_below,
    is_there,
    list_videos,
    wanted_again,
)
from mmpt.search.store import Store
from mmpt.search.store_database import local_folder
from mmpt.search.store_tables import Source
from mmpt.utils.files import cache_dir
from mmpt.video.thumbnails import thumbnail

DEFAULT = "library"  # folder, where neither the caller nor $MMPT_LIBRARY says another
MODEL = "videoclip"  # of a new library

Model = str | os.PathLike[str] | Scorer


class VideoLibrary:
    """Videos that can be searched by text.

        lib = mmpt.VideoLibrary("library/", "videoclip")
        lib.add(["~/Videos"])
        for moment in lib.search("flip the pancake").moments: ...

    Several processes may use one library at a time, and several threads one object.

    Args:
        address: a folder, or another address that LanceDB takes, for example ``"s3://bucket/library"``.
        model: what `mmpt.load` takes, or a loaded Scorer; by default the library's own, and ``"videoclip"`` for a new
            one. It is loaded when something is encoded.
        create: make the library, with the first `add`, where there is none.
        loading: how the model is loaded, as `mmpt.load` takes it: device, precision, runtime and so on.

    Raises:
        FileNotFoundError: there is no library, and `create` is False.
        ValueError: it was made with another model, or by another version of this program.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] = DEFAULT,
        model: Model | None = None,
        *,
        create: bool = True,
        **loading: Any,
    ) -> None:
        self.address = os.fspath(address)
        self._where = str(local_folder(address) or address)  # absolute, since the current folder may change
        self._lock = threading.RLock()
        self._model = model
        self._loading = loading
        self._matrix: WindowMatrix | None = None
        self._checked: Scorer | None = None
        self._store: Store | None = None
        try:
            self._store = Store.open(self.address)
        except FileNotFoundError:
            if not create:
                raise
        if self._store is not None and isinstance(model, Scorer):
            self._check_model(model)

    @property
    def store(self) -> Store:
        """The tables.

        Raises:
            FileNotFoundError: nothing was put into the library yet.
        """
        if self._store is None:
            self._store = Store.open(self._where)
        return self._store

    @property
    def scorer(self) -> Scorer:
        """The model, loaded now if it was not before.

        Raises:
            FileNotFoundError: weights or the tokenizer are missing.
            ValueError: it is another model than the library was made with.
        """
        with self._lock:
            if not isinstance(self._model, Scorer):
                if self._model is None and self._store is not None:
                    self._model = self._checked = load_own(self._store, **self._loading)
                else:
                    self._model = load(self._model or MODEL, **self._loading)
            if self._store is not None:
                self._check_model(self._model)
            return self._model

    @property
    def matrix(self) -> WindowMatrix:
        """The windows' vectors, as they are now."""
        with self._lock:
            if self._matrix is None:
                self._matrix = WindowMatrix.open(self.store, side_folder(self._where) / "matrix")
            self._matrix.refresh()
            return self._matrix

    def add(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        captions: str | os.PathLike[str] | None = None,
        *,
        language: str = "",
        encoding: str = "",
        on_event: Listener | None = None,
    ) -> Report:
        """Put videos in; those that are there already cost nothing.

        Each video is searchable when its turn is over, whatever happens afterwards. A broken one is reported and passed
        over.

        Args:
            paths: files, and folders with videos below them; `update` looks at them again.
            captions: folder of subtitle files; by default they are looked for beside each video.
            language: of the subtitles to take where a video has several, for example ``"en"``.
            encoding: of subtitle files that are not in UTF-8.
            on_event: told what happens.

        Returns:
            What became of them.

        Raises:
            FileNotFoundError: nothing is at any of the paths, there is no folder `captions`, or weights or the
                tokenizer are missing.
            ValueError: no path was given, the folders hold no video, or the model is not the library's.
        """
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        folder = "" if captions is None else str(absolute(captions))
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder of captions at {folder}")
        sources = [Source(str(absolute(path)), folder, language, encoding) for path in given]
        for source in sources:
            check_name(source.path)
        there = [source for source in sources if is_there(source.path)]
        if not sources:
            raise ValueError("no path was given; give video files, or folders of them")
        if not there:
            raise FileNotFoundError(f"there is nothing at {sources[0].path}; give video files, or folders of them")
        listed, unreadable = list_videos(sources, strict=True)
        self._check_given_model()
        store = self._made()
        known = store.sources()
        new = {source.path for source in there} - {source.path for source in known}
        store.remember([*there, *wanted_again(known, listed)])
        ingest = self._ingest(store, on_event)
        ingest.unreadable(unreadable)
        try:
            ingest.take(listed)
        except Exception:  # not KeyboardInterrupt, after which `update` resumes
            _forget_fruitless(store, new, ingest.taken)
            raise
        _forget_fruitless(store, new, ingest.taken)
        return ingest.report

    def update(self, *, prune: bool = False, on_event: Listener | None = None) -> Report:
        """Look again at all that was ever added: new, changed and renamed videos, new captions, and what is gone.

        Args:
            prune: take videos whose files are gone out; by default they stay, and are told.
            on_event: as for `add`.

        Returns:
            What became of them.

        Raises:
            FileNotFoundError: there is no library, or weights are missing.
            ValueError: the model is not the library's.
        """
        self._check_given_model()
        store = self.store
        sources = store.sources()
        known = SourceLookup(sources)
        there = [source for source in sources if not source.excluded and is_there(source.path)]
        listed, unreadable = list_videos(there, strict=False)
        listed = [(path, source) for path, source in listed if not known.is_excluded(str(path))]
        ingest = self._ingest(store, on_event)
        ingest.unreadable(unreadable)
        ingest.take(listed)
        ingest.remember_files()
        ingest.find_gone(sources, prune=prune)
        if failed := {path for path, _ in ingest.report.failed}.intersection(source.path for source in sources):
            _forget_fruitless(store, failed, {path for record in store.videos().values() for path in record.paths})
        return ingest.report

    def remove(
        self,
        paths_or_ids: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        on_event: Listener | None = None,
    ) -> int:
        """Take videos out. The files stay; `update` does not bring them back, `add` does.

        Args:
            paths_or_ids: videos by file or id; a folder stands for all videos below it. A video with a copy elsewhere
                in what was added stays, under the copy's path; an id removes it with all its copies.
            on_event: called for the videos that stay, as ``"known"``.

        Returns:
            How many videos were taken out.

        Raises:
            ValueError: the library has none of that name.
        """
        given = [paths_or_ids] if isinstance(paths_or_ids, (str, os.PathLike)) else list(paths_or_ids)
        records, sources = self.store.videos(), self.store.sources()
        known = {path for record in records.values() for path in record.paths} | {source.path for source in sources}
        going: set[str] = set()
        for name in given:
            word, path = os.fspath(name), str(absolute(name))
            if word in records:
                going.update(records[word].paths)
                continue
            found = [lying for lying in known if is_below(lying, path)]
            if not found:
                raise ValueError(
                    f"the library has no video {word!r}, nor one below it; see: mmpt library stats --videos"
                )
            going.update([lying for lying in found if Path(lying).is_relative_to(path)] or found)
        self.store.forget(going.intersection(source.path for source in sources))
        left = SourceLookup(self.store.sources())
        touched = [record for record in records.values() if going.intersection(record.paths)]
        out = {path for record in touched for path in record.paths} | {s.path for s in sources if s.excluded}
        self.store.remember(Source(path, excluded=True) for path in sorted(out & going) if left.source(path))
        stay = {record.id: without(record, going, left) for record in touched}
        kept = [record for record in stay.values() if record is not None]
        self.store.change(kept)
        tell = on_event or (lambda event: None)
        for record in kept:
            gone = ", ".join(sorted(going.intersection(records[record.id].paths)))
            tell(Event("known", record.path, detail=f"is a copy of {gone}, and stays"))
        return self.store.delete([key for key, record in stay.items() if record is None])

    def search(self, text: str | None = None, limit: int = 10, **options: Any) -> Results:
        """Search by text.

        Args:
            text: what to look for.
            limit: how many moments at most.
            options: the other fields of `mmpt.search.query.Query`.

        Returns:
            The moments, best first; none is "no match".

        Raises:
            FileNotFoundError: there is no library.
            ValueError: the text is empty, or an option is out of range.
        """
        return self.search_many([Query(text=text, limit=limit, **options)])[0]

    def search_many(self, queries: Sequence[Query]) -> list[Results]:
        """Search for several things at once, which costs little more than one.

        Args:
            queries: what to look for.

        Returns:
            One result for each, in order.

        Raises:
            FileNotFoundError: as for `search`.
            ValueError: as for `search`.
        """
        return search(self.store, self.matrix, lambda: self.scorer, list(queries))

    def videos(self) -> list[VideoRecord]:
        """Give the videos, in the order of their paths."""
        return sorted(self.store.videos().values(), key=lambda record: record.path)

    def video(self, video_id: str) -> VideoRecord:
        """Give a video.

        Args:
            video_id: its id.

        Raises:
            ValueError: the library has none of that id.
        """
        record = self.store.video(video_id)
        if record is None:
            raise ValueError(
                f"the library has no video {video_id!r}; it was taken out, or the id is of another library"
            )
        return record

    def curve(self, video_id: str, text: str) -> np.ndarray:
        """Say second by second how well a video fits a sentence.

        Args:
            video_id: the video.
            text: the sentence.

        Returns:
            float32 (seconds,): dot products, as of `Scorer.curve`.

        Raises:
            ValueError: the library has no such video, or the sentence is empty.
        """
        tokens = self.store.tokens(video_id)
        return tokens.astype(np.float32) @ self.scorer.encode_text([text])[0].numpy()

    def captions(self, video_id: str) -> list[Caption]:
        """Give what is said in a video.

        Args:
            video_id: the video.

        Raises:
            ValueError: the library has no such video.
        """
        return self.store.captions(video_id)

    def thumbnail(self, video_id: str, second: float, width: int = 320) -> bytes:
        """Draw a frame of a video.

        Args:
            video_id: the video.
            second: which.
            width: of the picture, in pixels.

        Returns:
            A JPEG file.

        Raises:
            FileNotFoundError: the video's file is gone.
            ValueError: the library has no such video, or it cannot be read.
        """
        return thumbnail(self.video(video_id).path, second, width)

    def stats(self) -> dict[str, Any]:
        """Sum up what is in the library, as `mmpt.search.checking.stats` says."""
        return stats(self.store)

    def check(self, *, repair: bool = False, on_video: Callable[[int, int], None] | None = None) -> list[Problem]:
        """Look at everything in the library.

        Args:
            repair: take out what cannot be used, so that `update` brings it back, and remove leftovers.
            on_video: told how many videos are looked at, and of how many.

        Returns:
            What is not as it ought to be.
        """
        return check(self.store, repair=repair, on_video=on_video)

    def export(self, folder: str | os.PathLike[str], *, on_video: Callable[[int, int], None] | None = None) -> int:
        """Write the library as plain files, as `mmpt.search.checking.export` says.

        Args:
            folder: where they go.
            on_video: told how many videos are written, and of how many.

        Returns:
            How many videos.

        Raises:
            ValueError: the folder holds an export already.
        """
        return export(self.store, folder, on_video=on_video)

    def _made(self) -> Store:
        """The store, made now if there is none."""
        with self._lock:
            if self._store is None:
                place = describe_place(self.scorer.place, local_folder(self._where))
                self._store = Store.create(self._where, describe(self.scorer), place)
                self._check_model(self.scorer)  # another process may have made it meanwhile
            return self._store

    def _check_given_model(self) -> None:
        """Refuse a requested model that is not the library's, even if nothing has to be encoded."""
        if self._store is None:
            return
        if self._model is not None:
            scorer = self._model if isinstance(self._model, Scorer) else self.scorer
            self._check_model(scorer)
            remember_place(self._store, scorer.place)
        elif not self._store.model_place:  # made by an earlier version; only a hint, since the loaded model is checked
            remember_place(self._store, find_place(self._store.about["model"]["name"]))

    def _ingest(self, store: Store, on_event: Listener | None) -> Ingest:
        store.index_words()  # for a library made by an earlier version
        return Ingest(store, self._encoder, side_folder(self._where) / "claims", on_event)

    def _encoder(self) -> Scorer:
        """The model, after a check that its video network is the one of the library's features."""
        scorer = self.scorer
        remember_place(self.store, scorer.place)
        check_backbone(self.store.about, scorer, self.address)
        return scorer

    def _check_model(self, scorer: Scorer) -> None:
        if self._checked is not scorer:
            check_model(self.store.about, scorer, self.address)
            self._checked = scorer


def _forget_fruitless(store: Store, sources: Collection[str], videos: Iterable[str]) -> None:
    """Forget sources without a video, such as a text file, so that updates do not fail over them again."""
    if sources:
        store.forget(set(sources).difference(*((path, *map(str, Path(path).parents)) for path in videos)))


def side_folder(address: str) -> Path:
    """Give the folder for what belongs to a library and can be made again.

    Args:
        address: of the library.

    Returns:
        A folder in it; for one in an object store, a folder in the user's cache.
    """
    folder = local_folder(address)
    if folder is not None:
        return folder / "side"
    return cache_dir() / "libraries" / hashlib.sha256(address.encode()).hexdigest()[:ID_LETTERS]
