"""`mmpt download`: fetch the published files to the documented places."""

import argparse
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.utils.published import PUBLISHED, PublishedFile, check_content, mirrors

if TYPE_CHECKING:
    from rich.progress import Progress

SHA256_DIGITS = 64

NAMES = "\n".join(
    f"  {name:10} {published.what}\n" + "\n".join(f"  {'':10}   {file.place}" for file in published.files)
    for name, published in PUBLISHED.items()
)
EPILOG = f"""names, and their places below the working folder ($MMPT_HOME or the current):
{NAMES}

A transfer that was cut goes on where it stopped at the next call.
The weights of VideoCLIP and VLM are CC-BY-NC: not for commercial purposes.

A mirror has the layout of a working folder; it is tried before the publishers'
addresses. MMPT_MIRRORS holds further ones, separated by commas.

examples:
  mmpt download videoclip s3d bert
  mmpt download vlm --to /data/mmpt --mirror https://weights.example.org/mmpt
"""

ELSEWHERE = (
    "Where this machine cannot reach them: copy the files to these places from one that can, or name a copy with "
    "--mirror (file:///folder is one)."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: the command's own parser.
    """
    parser.epilog = EPILOG
    parser.add_argument("names", nargs="+", choices=list(PUBLISHED), metavar="NAME", help=", ".join(PUBLISHED))
    parser.add_argument("--to", metavar="DIR", type=Path, help="working folder to put the files under")
    parser.add_argument(
        "--mirror", metavar="URL", action="append", default=[], help="base address to try first; may be given again"
    )
    parser.add_argument(
        "--sha256",
        metavar="[FILE=]HEX",
        action="append",
        default=[],
        help="what the file's SHA-256 must be; with the file's name where there are several files",
    )


def run(args: argparse.Namespace) -> int:
    """Fetch what is not there yet.

    Args:
        args: what `configure` declares.

    Returns:
        0, or 1 when some files could not be fetched.

    Raises:
        ValueError: a --sha256 that fits no file.
    """
    from rich.text import Text

    from mmpt.cli.console import err
    from mmpt.utils.places import home

    folder: Path = args.to or home()
    names = list(dict.fromkeys(args.names))
    files = [file for name in names for file in PUBLISHED[name].files]
    sums = _sums(args.sha256, files)
    failures: list[str] = []
    for name in names:
        err.print(Text.assemble((name, "bold"), f": {PUBLISHED[name].what}"), soft_wrap=True)
        err.print(f"  licence: {PUBLISHED[name].licence}", soft_wrap=True)
    with _progress() as progress:
        for file in files:
            if failure := _fetch(file, folder, args.mirror, sums.get(file.place), progress):
                failures.append(failure)
    for failure in failures:
        sys.stderr.write(f"mmpt: error: {failure}\n")
    if failures:
        err.print(f"{len(failures)} of {len(files)} files are missing. {ELSEWHERE}")
    return 1 if failures else 0


def _fetch(file: PublishedFile, folder: Path, extra: list[str], sha256: str | None, progress: "Progress") -> str | None:
    """Fetch one file and give what went wrong, if anything."""
    from mmpt.utils.download import fetch

    target = folder / file.place
    there = target.exists()
    urls = [*(f"{base}/{file.place}" for base in mirrors(extra)), file.url]
    task = progress.add_task(target.name, total=None, visible=not there)
    try:
        fetch(
            urls,
            target,
            sha256=sha256,
            check=lambda path: check_content(path, file.place),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    except (ValueError, OSError) as error:
        progress.update(task, visible=False)
        return str(error)
    progress.console.print(f"{target} {'is there already' if there else 'is complete'}", soft_wrap=True)
    return None


def _sums(given: list[str], files: list[PublishedFile]) -> dict[str, str]:
    """Sort --sha256 values to the files' places."""
    sums: dict[str, str] = {}
    for text in given:
        name, _, digits = text.rpartition("=")
        fitting = [file.place for file in files if not name or Path(file.place).name == name]
        if len(digits) != SHA256_DIGITS or set(digits.lower()) - set("0123456789abcdef"):
            raise ValueError(f"--sha256 {text}: a SHA-256 has {SHA256_DIGITS} hexadecimal digits")
        if len(fitting) != 1:
            raise ValueError(
                f"--sha256 {text} fits {len(fitting)} files; write FILE=HEX, where FILE is one of "
                f"{', '.join(Path(file.place).name for file in files)}"
            )
        sums[fitting[0]] = digits.lower()
    return sums


def _progress() -> AbstractContextManager["Progress"]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from mmpt.cli.console import err

    columns = (BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}", markup=False), *columns, console=err)
