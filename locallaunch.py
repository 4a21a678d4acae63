"""The tutorial's script: `python locallaunch.py YAML[,YAML...] [--jobtype ...] [--dryrun]`, which is `mmpt launch`."""

import sys

from mmpt.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["launch", *sys.argv[1:]]))
