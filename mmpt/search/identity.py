"""The identity of what a library was made of: its model, whose vectors no other model fits, and each video's file."""

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.scorer import Scorer
from mmpt.search.records import VideoRecord
from mmpt.search.windows import lengths_for
from mmpt.utils.content import FileContent, file_stamp, opened_path, read_content, stamped_size

SAMPLED = 1024  # numbers of each parameter that are looked at one by one


def fingerprint(model: MMPTPreTrainedModel) -> str:
    """Tell a model's weights from any others, in a small part of the time that hashing all of them takes.

    Args:
        model: the model.

    Returns:
        SHA-256 of the names, shapes, exact sums and every some thousandth number of its parameters; the same wherever
        it lies. A change of any one number changes a sum.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        bits = tensor.detach().float().cpu().contiguous().reshape(-1).numpy().view(np.int32)
        even = len(bits) // 2 * 2
        total = int(np.add.reduce(bits[:even].view(np.int64))) + int(bits[even:].sum())  # two numbers at a time, exact
        digest.update(f"{name} {tuple(tensor.shape)} {total}".encode())
        digest.update(bits[:: max(1, len(bits) // SAMPLED)].tobytes())
    return digest.hexdigest()


def describe(scorer: Scorer) -> dict[str, Any]:
    """Say what a library that a model makes is.

    Args:
        scorer: the model.

    Returns:
        What `Store.create` takes.

    Raises:
        FileNotFoundError: the video network's weights are missing.
    """
    return {
        "model": {"name": scorer.name, "sha256": fingerprint(scorer.model)},
        "backbone": scorer.backbone.name,
        "version": scorer.backbone.version,
        "l2_normalized": scorer.l2_normalized,
        "dim": scorer.model.config.hidden_size,
        "windows": lengths_for(scorer.aligner.max_video_len),
    }


def is_made_with(about: dict[str, Any], scorer: Scorer) -> bool:
    """True if a library was made with this model's weights, over the same features."""
    made = (about["model"]["sha256"], about["backbone"], about["l2_normalized"])
    return made == (fingerprint(scorer.model), scorer.backbone.name, scorer.l2_normalized)


def check_model(about: dict[str, Any], scorer: Scorer, address: str) -> None:
    """Refuse a model that a library was not made with.

    Args:
        about: what the library is.
        scorer: the model.
        address: of the library, for the message.

    Raises:
        ValueError: the weights or the video network are others.
    """
    if is_made_with(about, scorer):
        return
    made, given = about["model"], {"name": scorer.name, "sha256": fingerprint(scorer.model)}
    first, second = (f"{model['name']} (weights {model['sha256'][:12]})" for model in (made, given))
    raise ValueError(
        f"the library at {address} was made with the model {first} over {about['backbone']} features, and cannot be "
        f"used with {second} over {scorer.backbone.name} features: their numbers are not of one space. Leave the model "
        "out to use the library's own, or index into another library"
    )


def check_backbone(about: dict[str, Any], scorer: Scorer, address: str) -> None:
    """Refuse a video network whose features are not the same as those that a library has.

    Args:
        about: what the library is.
        scorer: the model.
        address: of the library, for the message.

    Raises:
        FileNotFoundError: the network's weights are missing.
        ValueError: its version is another.
    """
    if scorer.backbone.version != about["version"]:
        raise ValueError(
            f"the library at {address} has features of {about['backbone']}, version {about['version']}; the video "
            f"network here is version {scorer.backbone.version}, whose features are not the same. Use the weights and "
            "the runtime that it was made with, or index into a new library"
        )


def with_file(record: VideoRecord, path: str, content: FileContent, depth: int) -> VideoRecord:
    """Return the record of a video with its present file.

    Args:
        record: the video as it was known.
        path: the file.
        content: the content read from it.
        depth: number of path components below the indexed folder.

    Returns:
        The record, with what `same_file` compares.
    """
    return replace(
        record,
        path=path,
        modified=content.modified,
        stamp=content.stamp,
        real_path=_as_text(content.real_path),
        depth=depth,
        copies=tuple(other for other in record.copies if other != path),
    )


def same_file(file: int, record: VideoRecord) -> bool:
    """True if an open file is the one that was indexed, so that it may be sent as the video.

    Only the descriptor is examined, so that later changes at the path do not matter. A file with the device, inode,
    size and times of the indexed one is not read. Any other is read, and is the video if it has the same bytes, since
    device numbers change when disks are mounted again.

    Args:
        file: descriptor of what was opened at the record's path.
        record: the video, from the library's own table. Records written by an earlier version are compared by content
            alone.

    Returns:
        False if it is not a regular file, has other content, or was reached through a link below the indexed folder
        that leads elsewhere than it did.

    Raises:
        OSError: the file cannot be read.
    """
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        return False
    if record.stamp and about.st_size != stamped_size(record.stamp):
        return False
    if record.real_path and not _is_reached_as_before(record, _as_text(opened_path(file, record.path))):
        return False
    return file_stamp(about) == record.stamp or read_content(file, record.path).sha256.startswith(record.id)


def _is_reached_as_before(record: VideoRecord, real_path: str) -> bool:
    """True if a path leads where it led before; the indexed folder itself may have moved, for example behind a link."""
    if real_path == record.real_path:
        return True
    path = Path(record.path)
    top, below = path.parents[record.depth - 1], path.parts[len(path.parts) - record.depth :]
    return real_path == _as_text(os.path.join(os.path.realpath(top), *below))  # no link below it is followed now


def _as_text(path: str) -> str:
    """A path in a form that a table can hold, even if it is not UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()
