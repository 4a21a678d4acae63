"""What commands on a library share: which one, and with which model."""

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.search.library import VideoLibrary

FOLDER = "library"  # where neither --library nor $MMPT_LIBRARY says another


def add_library(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a library."""
    parser.add_argument(
        "--library", metavar="FOLDER", help=f"the library's folder, or an s3:// address ($MMPT_LIBRARY, else {FOLDER})"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose and load a model."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", help="videoclip, vlm, a YAML file or a folder (the library's own, else videoclip)")
    group.add_argument("--bert-name", metavar="FOLDER", help="folder or hub name of the BERT vocabulary to use")
    group.add_argument("--precision", choices=("fp32", "bf16"), help="of the video network (fp32)")
    group.add_argument("--runtime", choices=("torch", "openvino"), help="of the video network (torch)")
    group.add_argument("--device", help="cpu, cuda or mps (cpu)")


def library_address(args: argparse.Namespace) -> str:
    """Say which library a command is about."""
    return args.library or os.environ.get("MMPT_LIBRARY") or FOLDER


def open_library(args: argparse.Namespace, *, create: bool = False) -> "VideoLibrary":
    """Open the library that a command is about.

    Args:
        args: the command's; those of the model may be absent.
        create: make it where there is none.

    Returns:
        The library; its model is loaded when it is needed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was made by another version of this program.
    """
    from mmpt.search.library import VideoLibrary

    keys = ("bert_name", "precision", "runtime", "device")
    loading: dict[str, Any] = {key: getattr(args, key, None) for key in keys}
    loading = {key: value for key, value in loading.items() if value is not None}
    return VideoLibrary(library_address(args), getattr(args, "model", None), create=create, **loading)
