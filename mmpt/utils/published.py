"""The published files that this package reads: their documented places, addresses and licences."""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpt.utils.places import home

_MMPT = "https://dl.fbaipublicfiles.com/MMPT"
_HOWTO100M = "https://www.rocq.inria.fr/cluster-willow/amiech/howto100m"
_BERT = "https://huggingface.co/bert-base-uncased/resolve/main"
_NON_COMMERCIAL = "CC-BY-NC: you may use these weights for research, not for commercial purposes"


@dataclass(frozen=True)
class PublishedFile:
    """One file.

    Attributes:
        place: its documented path, relative to the working folder.
        url: where its authors publish it.
    """

    place: str
    url: str


@dataclass(frozen=True)
class Published:
    """What one name of `mmpt download` stands for.

    Attributes:
        what: in a few words.
        licence: what its authors allow, as far as it is known.
        files: all files that are needed.
    """

    what: str
    licence: str
    files: tuple[PublishedFile, ...]


PUBLISHED = {
    "videoclip": Published(
        what="VideoCLIP, pre-trained on HowTo100M",
        licence=_NON_COMMERCIAL,
        files=(
            PublishedFile("runs/retri/videoclip/checkpoint_best.pt", f"{_MMPT}/retri/videoclip/checkpoint_best.pt"),
        ),
    ),
    "vlm": Published(
        what="VLM, pre-trained on HowTo100M",
        licence=_NON_COMMERCIAL,
        files=(PublishedFile("runs/mtm/vlm/checkpoint_best.pt", f"{_MMPT}/mtm/vlm/checkpoint_best.pt"),),
    ),
    "s3d": Published(
        what="S3D, the video network that both read their features from",
        licence="the authors' code is Apache-2.0; see https://www.di.ens.fr/willow/research/howto100m for the weights",
        files=(
            PublishedFile("pretrained_models/s3d_howto100m.pth", f"{_HOWTO100M}/s3d_howto100m.pth"),
            PublishedFile("pretrained_models/s3d_dict.npy", f"{_HOWTO100M}/s3d_dict.npy"),
        ),
    ),
    "bert": Published(
        what="shape and vocabulary of bert-base-uncased, for offline work",
        licence="Apache-2.0",
        files=tuple(
            PublishedFile(f"pretrained_models/bert-base-uncased/{name}", f"{_BERT}/{name}")
            for name in ("config.json", "vocab.txt", "tokenizer_config.json")
        ),
    ),
}


def command_for(place: str | os.PathLike[str]) -> str | None:
    """Say which command fetches what is missing.

    Args:
        place: the path as the documentation gives it, or an absolute one under the working folder.

    Returns:
        ``"mmpt download NAME"``, or None when the place is not a published file's, nor a folder that holds one.
    """
    path = Path(os.path.normpath(place))
    if path.is_absolute() and path.is_relative_to(home().resolve()):
        path = path.relative_to(home().resolve())
    for name, published in PUBLISHED.items():
        for file in published.files:
            if path == Path(file.place) or path == Path(file.place).parent != Path("pretrained_models"):
                return f"mmpt download {name}"
    return None


def mirrors(extra: Sequence[str] = ()) -> list[str]:
    """List the addresses that are tried before the publishers' own.

    Args:
        extra: addresses given by the user; they come first.

    Returns:
        Base addresses without a slash at the end: `extra`, then those in $MMPT_MIRRORS (separated by commas). A
        mirror has the layout of a working folder.
    """
    listed = os.environ.get("MMPT_MIRRORS", "").split(",")
    return [base.strip().rstrip("/") for base in (*extra, *listed) if base.strip()]


def check_content(path: Path, place: str) -> None:
    """Tell a file of the right kind from a web page, a truncated file or something else, without loading it.

    Args:
        path: the file.
        place: its documented place, whose suffix says what it must be.

    Raises:
        ValueError: it is something else.
    """
    suffix = Path(place).suffix
    with path.open("rb") as file:
        start = file.read(4096)
    if suffix in (".pt", ".pth"):
        _check_torch(path, start)
    elif suffix == ".npy" and not start.startswith(b"\x93NUMPY"):
        raise ValueError("is not a numpy file")
    elif suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"is not a JSON file ({error})") from error
    elif suffix == ".txt" and b"[PAD]" not in start.split():
        raise ValueError("is not a BERT vocabulary")


def _check_torch(path: Path, start: bytes) -> None:
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            raise ValueError(f"is a damaged checkpoint ({error})") from error
        if damaged is not None:
            raise ValueError(f"is a damaged checkpoint (the checksum of {damaged} is wrong)")
    elif not start.startswith(b"\x80"):  # what torch wrote before version 1.6 begins as a pickle does
        raise ValueError("is not a file that torch.save wrote")
