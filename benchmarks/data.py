"""All figures of the data path: extraction, batches of retrieved videos, shards, captions.

Run: python -m benchmarks.data [--only NAME] [--quick]

Each part is a benchmark of its own, benchmarks/<NAME>.py, which says what it compares and takes more options. Each runs
in a process of its own, so that none counts in another's memory. With --quick all take a few minutes, and the figures
only say that all runs.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
QUICK = {  # part -> its words with --quick
    "extraction": ("--turns", "1", "--minutes", "0.1"),
    "retrieval_data": ("--turns", "2", "--videos", "200"),
    "stores": ("--turns", "1", "--videos", "100"),
    "captions": ("--turns", "1", "--videos", "50"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0, or 1 when a part ended with an error.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=QUICK, action="append", metavar="NAME", help=f"{', '.join(QUICK)}; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="little data and few turns")
    parser.add_argument("--bert-name", metavar="NAME", help="folder or hub name of the BERT that captions are cut for")
    args = parser.parse_args(arguments)
    failed = False
    for name in args.only or QUICK:
        words = [sys.executable, "-m", f"benchmarks.{name}", *_words(name, args.quick, args.bert_name)]
        failed |= subprocess.run(words, cwd=ROOT, check=False).returncode != 0
    return int(failed)


def _words(name: str, quick: bool, bert_name: str | None) -> list[str]:
    """The command line of a part."""
    words = list(QUICK[name]) if quick else []
    bert, video = DATA / "bert-base-uncased", DATA / "videos" / "dog.mp4"
    if name == "captions" and (bert_name or bert.is_dir()):
        words += ["--bert-name", bert_name or str(bert)]
    if name == "extraction" and quick and video.is_file():
        words = [str(video), *words]
    return words


if __name__ == "__main__":
    raise SystemExit(main())
