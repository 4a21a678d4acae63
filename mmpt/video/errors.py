"""What can be wrong with a video file, said so that a user knows what to do."""

from pathlib import Path


class VideoError(ValueError):
    """A file that cannot be read as a video, or not as far as was asked for."""


class VideoDamageWarning(UserWarning):
    """Part of a video could not be read; the rest was."""


def check_file(path: Path) -> None:
    """Refuse what is no file with bytes in it.

    Args:
        path: what is to be read.

    Raises:
        FileNotFoundError: nothing is there.
        VideoError: it is a folder, something else that is not a file, or a file without a byte.
    """
    if not path.exists():
        raise FileNotFoundError(f"no video at {path}; check the path, it is taken from {Path.cwd()}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video; name one file in it")
    if not path.is_file():
        raise VideoError(f"{path} is not an ordinary file, so it cannot be read as a video; copy it into one first")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); fetch or copy the video again")


def unreadable(path: Path, reason: object) -> VideoError:
    """Say why a file could not be opened, after a look at how it begins.

    Args:
        path: the file.
        reason: what the library said.

    Returns:
        The error to raise: cut off when it begins like a video, not a video otherwise.
    """
    with path.open("rb") as file:
        head = file.read(12)
    kind = _kind(head)
    if kind:
        return VideoError(
            f"{path} begins like {kind} but is cut off or damaged before anything could be read "
            f"({path.stat().st_size:,} bytes: {reason}); fetch or copy the video again"
        )
    return VideoError(
        f"{path} is not a video that can be read ({reason}); give an .mp4, .mkv, .webm, .avi file or the like"
    )


def _kind(head: bytes) -> str | None:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "an mp4 or mov file"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "an mkv or webm file"
    if head.startswith(b"RIFF") and (head[8:12] == b"AVI " or len(head) < 12):
        return "an avi file"
    if head.startswith(b"FLV"):
        return "an flv file"
    if head.startswith(b"\x30\x26\xb2\x75"):
        return "a wmv file"
    return None
