"""All figures of docs/benchmarks.md for inference: S3D, the towers, decoding and, on request, peak memory.

Run: python -m benchmarks.inference [--turns 7] [--memory]
"""

import argparse
import shutil

from benchmarks import decode, memory, s3d, towers
from benchmarks.paired import show


def main() -> int:
    """Measure and print.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7, help="counted turns of each measurement (%(default)s)")
    parser.add_argument("--memory", action="store_true", help="also score videos of 1 and 20 minutes, which takes long")
    args = parser.parse_args()
    show("S3D", s3d.HEADER, s3d.run(args.turns))
    show("towers at bert-base size", towers.HEADER, towers.run(args.turns))
    if shutil.which("ffmpeg"):
        decode.main(["--turns", str(args.turns)])
    if args.memory:
        show("peak memory of mmpt score", memory.HEADER, memory.run([1, 20]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
