"""What can be wrong with a video file, said so that a user knows what to do."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mmpt.video.finding import container_kind


class VideoError(ValueError):
    """A file that cannot be read as a video, or not as far as was asked for."""


class VideoDamageWarning(UserWarning):
    """Part of a video could not be read; the rest was."""


@contextlib.contextmanager
def video_errors(path: Path) -> Iterator[None]:
    """Turn whatever opening or decoding one video raises into that video's failure.

    Libraries raise what they like on a file that is made oddly: IndexError, UnicodeDecodeError, OverflowError. One such
    file must not end the work on thousands, so everything that decodes a video does it inside this boundary. What
    computes with the frames stays outside: an error there is not the fault of the file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: as it came.
        VideoError: as it came, or in place of any other exception, with its class.
    """
    try:
        yield
    except (VideoError, FileNotFoundError):
        raise
    except MemoryError as error:
        raise VideoError(
            f"{path} takes more memory than there is (MemoryError); free some, or convert the video to smaller pictures"
        ) from error
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error)
        name = type(error).__name__
        raise VideoError(
            f"{path} cannot be read ({f'{name}: {said}' if said else name}); convert it, for example to an .mp4 with "
            "H.264, or fetch it again"
        ) from error


def check_file(path: Path) -> None:
    """Refuse what is no file with bytes in it.

    Args:
        path: what is to be read.

    Raises:
        FileNotFoundError: nothing is there.
        VideoError: it is a folder or something else that is not a file, has no byte, or may not be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"no video at {path}; check the path, it is taken from {Path.cwd()}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video; name one file in it")
    if not path.is_file():
        raise VideoError(f"{path} is not an ordinary file, so it cannot be read as a video; copy it into one first")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); fetch or copy the video again")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path} may not be read by this user (permission denied); change its permissions")


def unreadable(path: Path, head: bytes, reason: object) -> VideoError:
    """Say why a file could not be opened, after a look at how it begins.

    Args:
        path: the file.
        head: its first bytes, at least 12 unless it is shorter.
        reason: what the library said.

    Returns:
        The error to raise: cut off when it begins like a video, not a video otherwise.
    """
    kind = container_kind(head)
    if kind:
        return VideoError(
            f"{path} begins like {kind} but is cut off or damaged before anything could be read "
            f"({path.stat().st_size:,} bytes: {reason}); fetch or copy the video again"
        )
    return VideoError(
        f"{path} is not a video that can be read ({reason}); give an .mp4, .mkv, .webm, .avi file or the like"
    )
