"""Video files -> one vector a second, computed once and then found again by content.

`extract` is a pure function of the video and the backbone. `cached` keeps what it gives in the cache folder, under the
hash of the video's bytes and all that the numbers depend on; a renamed or copied video is found, a changed one is not.
"""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mmpt.utils.content import remembered_hash
from mmpt.utils.featurefile import read_features
from mmpt.utils.files import atomic_path, cache_dir
from mmpt.video.backbones.base import Backbone, feature_name, same_backbone
from mmpt.video.errors import VideoDamageWarning, VideoError, check_file
from mmpt.video.reader import read_seconds
from mmpt.video.streaming import Rows, stream
from mmpt.video.timing import MAX_GAP_S, default_max_gap

FORMAT = "mmpt-features-1"
PUBLISHED = ("s3d", True)  # backbone and unit length of feature files that say nothing, as the published ones
NAME = "{video}"  # stands for the path in what is kept: the same bytes may lie elsewhere next time

logger = logging.getLogger(__name__)

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Features:
    """The vectors of a video, with all that they depend on.

    Attributes:
        array: (seconds, dim) float32, one row for each started second.
        backbone: name of what computed them.
        version: of its weights, code and runtime.
        precision: that it computed in.
        l2_normalized: whether each row was scaled to unit length, as VideoCLIP and VLM were trained on.
        source: SHA-256 of the video file.
        damage: what could not be read of the video, one sentence each; empty for a whole one.
    """

    array: np.ndarray
    backbone: str
    version: str
    precision: str
    l2_normalized: bool
    source: str
    damage: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """How many seconds were started: the number of rows."""
        return len(self.array)


def extract(
    path: str | os.PathLike[str],
    backbone: Backbone,
    *,
    l2_normalize: bool = True,
    strict: bool = False,
    on_progress: Progress | None = None,
) -> Features:
    """Compute the features of a video.

    The video is read a few seconds at a time, while the backbone computes, and never held.

    Args:
        path: the video file.
        backbone: what turns a second of frames into a vector.
        l2_normalize: scale each row to unit length, as the published features were; the tutorial's MMPTModel does not.
        strict: raise where part of the video cannot be decoded, instead of warning.
        on_progress: called with the number of seconds done so far.

    Returns:
        The features, in float32.

    Raises:
        FileNotFoundError: there is no such video, or the backbone's weights are missing.
        VideoError: it is not a video, or (strict) it is damaged.

    Warns:
        VideoDamageWarning: part of the video could not be decoded; `Features.damage` says the same.
    """
    features = _extract(Path(path), backbone, l2_normalize, strict, on_progress)
    _warn(features)
    return features


def cached(
    path: str | os.PathLike[str],
    backbone: Backbone,
    *,
    l2_normalize: bool = True,
    strict: bool = False,
    on_progress: Progress | None = None,
) -> Features:
    """Give the features of a video: from the cache folder, or computed and put there.

    A hit asks the backbone for its name, version, precision, fps and size only, so that no weights are loaded. What is
    kept is exactly what the first call returned.

    Args:
        path: the video file.
        backbone: what turns a second of frames into a vector.
        l2_normalize: scale each row to unit length.
        strict: raise where part of the video cannot be decoded, also when what could be read is in the cache.
        on_progress: called with the number of seconds done so far; not called when nothing is computed.

    Returns:
        The features, in float32.

    Raises:
        FileNotFoundError: there is no such video, or the backbone's weights are missing.
        VideoError: it is not a video, or (strict) it is damaged.

    Warns:
        VideoDamageWarning: part of the video could not be decoded; each time, not only the first.
    """
    file = Path(path)
    check_file(file)
    kept = _place(remembered_hash(file), backbone, l2_normalize)
    features = _read(kept, file)
    if features is None:
        features = _extract(file, backbone, l2_normalize, strict, on_progress)
        _write(features, kept, file)
    elif strict and features.damage:
        raise VideoError(" ".join(features.damage))
    _warn(features)
    return features


@dataclass(frozen=True)
class VideoSource:
    """A video file as a backbone reads it.

    Args:
        path: the file.
        fps: frames per second.
        size: side of the frames, in pixels.
        strict: raise where part of it cannot be decoded.
    """

    path: Path
    fps: int
    size: int
    strict: bool = False

    def seconds(self, on_damage: Callable[[str], None]) -> Iterator[np.ndarray]:
        """Read the file.

        Args:
            on_damage: told what could not be decoded.

        Returns:
            Its started seconds, (fps, size, size, 3) uint8 each.

        Raises:
            FileNotFoundError: there is no such file.
            VideoError: it is not a video, or (strict) it is damaged.
        """
        return read_seconds(self.path, self.fps, self.size, strict=self.strict, on_damage=on_damage)


def features_of(rows: Rows, backbone: Backbone, *, l2_normalize: bool, source: str) -> Features:
    """Say what computed rows are.

    Args:
        rows: of one video, finished.
        backbone: what computed them.
        l2_normalize: whether they were scaled to unit length.
        source: SHA-256 of the video file.

    Returns:
        The features, in float32.

    Raises:
        Exception: what kept the video from being read.
    """
    if rows.error is not None:
        raise rows.error
    return Features(
        array=rows.array(backbone.dim),
        backbone=backbone.name,
        version=backbone.version,
        precision=backbone.precision,
        l2_normalized=l2_normalize,
        source=source,
        damage=tuple(rows.damage),
    )


def stored(path: str | os.PathLike[str]) -> Features:
    """Read a feature file, as `mmpt extract` writes them or as the published ones are.

    Args:
        path: the file.

    Returns:
        The features, in float32; a file that says nothing of itself counts as published: S3D, unit length.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds no features.
    """
    found = read_features(path)
    backbone, l2_normalized = origin(found.about)
    return Features(
        array=found.array.astype(np.float32),
        backbone=backbone,
        version=str(found.about.get("version", "")),
        precision=str(found.about.get("precision", "")),
        l2_normalized=l2_normalized,
        source=str(found.about.get("source", "")),
        damage=tuple(found.about.get("damage", ())),
    )


def origin(about: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what features are, by what their file says.

    Args:
        about: what it says; nothing in the published ones.

    Returns:
        The backbone's name, and whether each second has unit length.
    """
    return str(about.get("backbone", PUBLISHED[0])), bool(about.get("l2_normalized", PUBLISHED[1]))


def check_origin(about: Mapping[str, Any], path: Path, *, backbone: str, l2_normalized: bool) -> None:
    """Refuse features that are not of the kind that a configuration names.

    Args:
        about: what their file says.
        path: the file.
        backbone: `dataset.backbone`.
        l2_normalized: `dataset.l2_normalize`.

    Raises:
        ValueError: they come from another backbone, or are scaled otherwise.
    """
    got, unit = origin(about)
    wanted = feature_name(backbone) if ":" in backbone else backbone
    if same_backbone(got, wanted) and unit == l2_normalized:
        return
    says = "" if about else " (it says nothing of itself, so it counts as a published one)"
    raise ValueError(
        f"{path} holds features of {got!r}, l2_normalize={unit}{says}; the configuration takes those of {wanted!r}, "
        f"l2_normalize={l2_normalized}. Extract the videos again, or set dataset.backbone and dataset.l2_normalize to "
        "what the features are"
    )


class OneOrigin:
    """Sees that all features of a data set are of one network: the first file that names it fixes which.

    Args:
        backbone: `dataset.backbone`; ``frame_vit`` stands for any of its networks.
        l2_normalized: `dataset.l2_normalize`.
    """

    def __init__(self, backbone: str, l2_normalized: bool) -> None:
        self._backbone, self._l2_normalized = backbone, l2_normalized
        self._first: dict[str, tuple[Any, Path]] = {}

    def check(self, about: Mapping[str, Any], path: Path) -> None:
        """Refuse features that are not of the configured kind, or of another network than those before.

        Args:
            about: what their file says; nothing in the published ones, which are compared with no other.
            path: the file.

        Raises:
            ValueError: they come from another backbone, network or version, or are scaled otherwise.
        """
        check_origin(about, path, backbone=self._backbone, l2_normalized=self._l2_normalized)
        for key in ("backbone", "version"):
            if key not in about:
                continue
            first, where = self._first.setdefault(key, (about[key], path))
            if about[key] != first:
                raise ValueError(
                    f"{path} holds features of the {key} {about[key]!r}, and {where} of {first!r}; one data set takes "
                    "those of one network: extract the others again, into a folder of their own"
                )


def _extract(
    file: Path, backbone: Backbone, l2_normalize: bool, strict: bool, on_progress: Progress | None
) -> Features:
    check_file(file)
    source = remembered_hash(file)
    video = VideoSource(file, backbone.fps, backbone.size, strict)
    with contextlib.closing(stream([video], backbone, l2_normalize=l2_normalize)) as states:
        for rows in states:
            if on_progress is not None and not rows.finished:
                on_progress(rows.done)
    return features_of(rows, backbone, l2_normalize=l2_normalize, source=source)


def _warn(features: Features) -> None:
    for message in features.damage:
        warnings.warn(message, VideoDamageWarning, stacklevel=3)


def _place(source: str, backbone: Backbone, l2_normalize: bool) -> Path:
    """The file that holds the features of a video's bytes: all that the numbers depend on is in its name."""
    settings = [FORMAT, backbone.version, backbone.precision, backbone.fps, backbone.size, l2_normalize]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    return cache_dir() / "features" / f"{backbone.name}-{key}" / f"{source}.safetensors"


def _write(features: Features, kept: Path, file: Path) -> None:
    array = np.ascontiguousarray(features.array)
    about = {
        "format": FORMAT,
        "backbone": features.backbone,
        "version": features.version,
        "precision": features.precision,
        "l2_normalized": json.dumps(features.l2_normalized),
        "source": features.source,
        "damage": json.dumps([message.replace(str(file), NAME) for message in features.damage]),
        "max_gap": str(default_max_gap()),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }
    try:
        with atomic_path(kept) as path:
            save_file({"features": array}, path, metadata=about)
    except OSError as error:
        logger.warning("cannot keep features in %s (%s); they are computed again next time", kept.parent, error)


def _read(kept: Path, file: Path) -> Features | None:
    """Read kept features; None when there are none, the file is damaged, or the video is to be read again."""
    if not kept.is_file():
        return None
    try:
        with safe_open(kept, framework="numpy") as opened:
            about, array = opened.metadata(), opened.get_tensor("features")
        if hashlib.sha256(array.tobytes()).hexdigest() != about["sha256"]:
            raise ValueError("the numbers do not match their checksum")
        if about["damage"] != "[]" and default_max_gap() > float(about.get("max_gap", MAX_GAP_S)):
            return None  # what was taken for damage may be a gap that is allowed now
        return Features(
            array=array,
            backbone=about["backbone"],
            version=about["version"],
            precision=about["precision"],
            l2_normalized=json.loads(about["l2_normalized"]),
            source=about["source"],
            damage=tuple(message.replace(NAME, str(file)) for message in json.loads(about["damage"])),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the kept features %s are damaged (%s); computing them again", kept, error)
        return None
