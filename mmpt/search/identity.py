"""Which model a library was made with: numbers of another one mean nothing in it."""

import hashlib
from typing import Any

import numpy as np

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.scorer import Scorer
from mmpt.search.windows import lengths_for

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


def check_model(about: dict[str, Any], scorer: Scorer, address: str) -> None:
    """Refuse a model that a library was not made with.

    Args:
        about: what the library is.
        scorer: the model.
        address: of the library, for the message.

    Raises:
        ValueError: the weights or the video network are others.
    """
    made = about["model"]
    given = {"name": scorer.name, "sha256": fingerprint(scorer.model)}
    same = (made["sha256"], about["backbone"], about["l2_normalized"])
    if same == (given["sha256"], scorer.backbone.name, scorer.l2_normalized):
        return
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
