"""Video files: which there are below a folder."""

from pathlib import Path

from mmpt.utils.walking import walk_files

VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)


def videos_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Find the video files below a folder, by their endings.

    Args:
        folder: where to look.

    Returns:
        The files in order of their names; and the folders that cannot be read, one sentence each.
    """
    barred: list[str] = []

    def note(error: OSError) -> None:
        barred.append(
            f"the folder {error.filename} cannot be read ({error.strerror}); make it readable, or leave it out"
        )

    return sorted(path for path in walk_files(folder, note) if path.suffix.lower() in VIDEO_SUFFIXES), barred
