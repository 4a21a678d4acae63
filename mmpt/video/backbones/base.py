"""What every video backbone offers: one vector for each second of frames; and how one is made of its name."""

import inspect
from typing import Any, Protocol, cast

import numpy as np
from torch import Tensor

from mmpt.utils.registry import lookup

KIND = "backbone"
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Backbone(Protocol):
    """A network that turns seconds of video into vectors.

    Register a class with `mmpt.utils.registry.register("backbone", name)` to make it known by name. Everything but the
    call must be cheap: a cached feature is found by what is declared here, without loading any weights.

    Attributes:
        name: what features carry: what it is registered as, followed by a slash and the network's own name where one
            class runs several networks.
        version: changes whenever the same frames would give other vectors: of weights, code or runtime.
        precision: the numbers that it computes with, ``"fp32"`` or ``"bf16"``.
        fps: frames per second that it reads.
        size: side of the square frames that it reads, in pixels.
        dim: width of its vectors.
        batch_seconds: seconds to hand over at once, for speed; any other number gives the same vectors.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def fps(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def batch_seconds(self) -> int: ...

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode seconds.

        Args:
            frames: (seconds, fps, size, size, 3) uint8, RGB.

        Returns:
            (seconds, dim) float32, as the network gives them: not scaled to unit length.
        """
        ...


def build_backbone(name: str, *, where: str = "--backbone", **options: Any) -> Backbone:
    """Make a backbone of its name.

    Args:
        name: its registered name, or ``package.module:Class``.
        where: what asks for it, for messages.
        options: what its constructor is given, None for what nobody chose; for example `precision` or `device`.

    Returns:
        The backbone; no weights are read yet.

    Raises:
        ValueError: there is no such backbone, an option that it does not take was chosen, one that it needs was not, or
            a value is none of those that it knows.
    """
    cls = lookup(KIND, name, where=where, may_import=True)
    parameters = inspect.signature(cls).parameters
    chosen = {key: value for key, value in options.items() if value is not None}
    if unknown := [key for key in chosen if key not in parameters]:
        takes = [key for key in options if key in parameters]
        raise ValueError(
            f"the backbone {name!r} takes no {', '.join(unknown)}; "
            f"{'it takes ' + ', '.join(takes) if takes else 'there is nothing to choose'}"
        )
    needed = [key for key, value in parameters.items() if value.default is value.empty and value.kind in _NAMED]
    if missing := [key for key in needed if key not in chosen]:
        raise ValueError(f"the backbone {name!r} needs {', '.join(missing)}, for example --{missing[0]} FOLDER")
    return cast(Backbone, cls(**chosen))


def feature_name(backbone: str, *, where: str = "dataset.backbone") -> str:
    """Say what features of a backbone carry as their backbone's name.

    Args:
        backbone: a name as a configuration writes it: registered, with a network's own name, or
            ``package.module:Class``.
        where: what names it, for messages.

    Returns:
        The class's name where it is one for all; else what was given.

    Raises:
        ValueError: there is no such backbone.
    """
    name = getattr(lookup(KIND, backbone.partition("/")[0], where=where, may_import=True), "name", None)
    return name if isinstance(name, str) and "/" not in backbone else backbone


def declared_dim(backbone: str, *, where: str = "dataset.backbone") -> int | None:
    """Say how wide the vectors of a backbone are, as far as its class alone tells.

    Args:
        backbone: as for `feature_name`.
        where: what names it, for messages.

    Returns:
        The class's `dim`, or its `published_dim` where weights may differ; None where only a made backbone knows.

    Raises:
        ValueError: there is no such backbone.
    """
    cls = lookup(KIND, backbone.partition("/")[0], where=where, may_import=True)
    found = (getattr(cls, key, None) for key in ("dim", "published_dim"))
    return next((dim for dim in found if isinstance(dim, int)), None)


def same_backbone(got: str, wanted: str) -> bool:
    """Whether features are of the backbone that is wanted.

    Args:
        got: the name that they carry.
        wanted: a name; one without a slash stands for all networks of its class.

    Returns:
        True when they are.
    """
    return got == wanted or got.startswith(f"{wanted}/")
