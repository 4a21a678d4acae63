"""A library of one's own videos: put videos in, and search them by text."""

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.scorer import Scorer, load
from mmpt.search.ingest import ID_LETTERS, Event, Ingest, Listener, Report
from mmpt.search.narration import CaptionFinder
from mmpt.search.records import Caption, VideoRecord
from mmpt.search.store import Store, local_folder
from mmpt.search.store_tables import Source
from mmpt.search.windows import lengths_for
from mmpt.utils.files import cache_dir
from mmpt.video.finding import videos_below

if TYPE_CHECKING:
    from mmpt.search.matrix import WindowMatrix
    from mmpt.search.query import Query, Results

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

    Raises:
        FileNotFoundError: there is no library, and `create` is False.
        ValueError: it was made with another model, or by another version of this program.
    """

    def __init__(
        self, address: str | os.PathLike[str] = DEFAULT, model: Model | None = None, *, create: bool = True
    ) -> None:
        self.address = os.fspath(address)
        self._lock = threading.RLock()
        self._model = model
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
            self._store = Store.open(self.address)
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
                known = self._store.about["model"]["name"] if self._store is not None else MODEL
                self._model = load(self._model or known)
            if self._store is not None and self._checked is not self._model:
                self._check_model(self._model)
            return self._model

    @property
    def matrix(self) -> "WindowMatrix":
        """The windows' vectors, as they are now."""
        from mmpt.search.matrix import WindowMatrix

        with self._lock:
            if self._matrix is None:
                self._matrix = WindowMatrix.open(self.store, side_folder(self.address) / "matrix")
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
            FileNotFoundError: weights or the tokenizer are missing, or there is no folder `captions`.
            ValueError: a folder holds no video, or the model is not the library's.
        """
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        folder = "" if captions is None else str(_absolute(captions))
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder of captions at {folder}")
        sources = [Source(str(_absolute(path)), folder, language, encoding) for path in given]
        listed, unreadable = _list(sources, strict=True)
        store = self._made()
        store.remember([*sources, *(source for path, source in _included(store, listed))])
        ingest = Ingest(store, self._encoder, side_folder(self.address) / "claims", on_event)
        ingest.unreadable(unreadable)
        ingest.take(_with_finders(listed))
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
        store = self.store
        sources = store.sources()
        excluded = {source.path for source in sources if source.excluded}
        listed, unreadable = _list([source for source in sources if not source.excluded], strict=False)
        listed = [(path, source) for path, source in listed if str(path) not in excluded]
        ingest = Ingest(store, self._encoder, side_folder(self.address) / "claims", on_event)
        ingest.unreadable(unreadable)
        ingest.take(_with_finders(listed))
        ingest.find_gone(prune=prune)
        return ingest.report

    def remove(self, paths_or_ids: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> int:
        """Take videos out. The files stay; `update` does not bring them back, `add` does.

        Args:
            paths_or_ids: videos by file or id; of a folder all that lie below it.

        Returns:
            How many videos were taken out.

        Raises:
            ValueError: the library has none of that name.
        """
        given = [paths_or_ids] if isinstance(paths_or_ids, (str, os.PathLike)) else list(paths_or_ids)
        records, sources = self.store.videos(), {source.path for source in self.store.sources()}
        ids: set[str] = set()
        forgotten: set[str] = set()
        for word in map(os.fspath, given):
            path = str(_absolute(word))
            found = [record for record in records.values() if record.id == word or _below(record.path, path)]
            if not found and path not in sources:
                raise ValueError(f"the library has no video {word!r}, nor one below it; mmpt library stats lists them")
            ids.update(record.id for record in found)
            forgotten.update(source for source in sources if _below(source, path))
        self.store.forget(forgotten)
        self.store.remember([Source(records[video_id].path, excluded=True) for video_id in sorted(ids)])
        return self.store.delete(ids)

    def search(self, text: str | None = None, limit: int = 10, **options: Any) -> "Results":
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
        from mmpt.search.query import Query

        return self.search_many([Query(text=text, limit=limit, **options)])[0]

    def search_many(self, queries: "Sequence[Query]") -> "list[Results]":
        """Search for several things at once, which costs little more than one.

        Args:
            queries: what to look for.

        Returns:
            One result for each, in order.

        Raises:
            FileNotFoundError: as for `search`.
            ValueError: as for `search`.
        """
        from mmpt.search.query import search

        return search(self.store, self.matrix, self.scorer, list(queries))

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
        record = self.store.videos().get(video_id)
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
        from mmpt.video.thumbnails import thumbnail

        return thumbnail(self.video(video_id).path, second, width)

    def _made(self) -> Store:
        """The store, made now if there is none."""
        with self._lock:
            if self._store is None:
                scorer = self.scorer
                about = {
                    "model": {"name": scorer.name, "sha256": fingerprint(scorer.model)},
                    "backbone": scorer.backbone.name,
                    "version": scorer.backbone.version,
                    "l2_normalized": scorer.l2_normalized,
                    "dim": scorer.model.config.hidden_size,
                    "windows": lengths_for(scorer.aligner.max_video_len),
                }
                self._store = Store.create(self.address, about)
                self._check_model(scorer)
            return self._store

    def _encoder(self) -> Scorer:
        """The model, where its video network is the one that the library's features come from."""
        scorer, about = self.scorer, self.store.about
        if scorer.backbone.version != about["version"]:
            raise ValueError(
                f"the library at {self.address} has features of {about['backbone']}, version {about['version']}; the "
                f"video network here is version {scorer.backbone.version}, whose features are not the same. Use the "
                "weights and the runtime that it was made with, or index into a new library"
            )
        return scorer

    def _check_model(self, scorer: Scorer) -> None:
        about, ours = self.store.about, fingerprint(scorer.model)
        made, given = about["model"], {"name": scorer.name, "sha256": ours}
        if made["sha256"] != ours or about["backbone"] != scorer.backbone.name:
            told = [f"{m['name']} (weights {m['sha256'][:12]})" for m in (made, given)]
            raise ValueError(
                f"the library at {self.address} was made with the model {told[0]} over {about['backbone']} features, "
                f"and cannot be used with {told[1]} over {scorer.backbone.name} features: their numbers are not of one "
                "space. Leave the model out to use the library's own, or index into another library"
            )
        self._checked = scorer


def fingerprint(model: MMPTPreTrainedModel) -> str:
    """Hash a model's weights.

    Args:
        model: the model.

    Returns:
        SHA-256 of the names, shapes and numbers of its parameters; the same wherever it lies.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().float().cpu().contiguous().numpy()
        digest.update(f"{name}{array.shape}".encode())
        digest.update(memoryview(array).cast("B"))
    return digest.hexdigest()


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


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.abspath(Path(path).expanduser()))  # not resolved: what a user calls it is what is shown
    except RuntimeError:  # "~name" where nobody has that name
        return Path(os.path.abspath(path))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list(sources: Sequence[Source], *, strict: bool) -> tuple[list[tuple[Path, Source]], list[str]]:
    """The video files of sources, each once, with its source; and what cannot be looked into."""
    listed: dict[Path, Source] = {}
    unreadable: list[str] = []
    for source in sources:
        path = Path(source.path)
        if not path.is_dir():
            listed[path] = source
            continue
        found, barred = videos_below(path)
        if strict and not found and not barred:
            raise ValueError(f"{path} is a folder that holds no video")
        listed.update(dict.fromkeys(found, source))
        unreadable += barred
    return list(listed.items()), unreadable


def _included(store: Store, listed: Iterable[tuple[Path, Source]]) -> list[tuple[Path, Source]]:
    """Those that were taken out once and are wanted again."""
    excluded = {source.path for source in store.sources() if source.excluded}
    return [
        (path, Source(**{**source.__dict__, "path": str(path)})) for path, source in listed if str(path) in excluded
    ]


def _with_finders(listed: Iterable[tuple[Path, Source]]) -> list[tuple[Path, CaptionFinder]]:
    finders: dict[tuple[str, str, str], CaptionFinder] = {}
    found = []
    for path, source in listed:
        key = (source.captions, source.language, source.encoding)
        if key not in finders:
            folder = Path(source.captions) if source.captions else None
            finders[key] = CaptionFinder(folder, language=source.language, encoding=source.encoding)
        found.append((path, finders[key]))
    return found


__all__ = ["DEFAULT", "Event", "Report", "VideoLibrary", "fingerprint", "side_folder"]
