"""`mmpt train`: prepare and check the training of a YAML file."""

import argparse
import os
import sys

NOT_YET = 2  # exit code of what this version cannot do
EXAMPLES = """examples:
  mmpt train projects/retri/videoclip/how2.yaml --check
  mmpt train projects/mtm/vlm/vtt.yaml --check fairseq.dataset.batch_size=64

Every key, class and file that the YAML file names is looked at, the data set
and the model are made, and the first batch is shown. This version does not
train yet.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from mmpt.cli import preparing

    parser.epilog = EXAMPLES
    preparing.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare a training.

    Returns:
        0 with --check, else 2.
    """
    from mmpt.cli.preparing import prepare

    prepare(args, evaluation=False)
    if args.check:
        return 0
    if int(os.environ.get("RANK", "0")) == 0:
        sys.stderr.write(
            "mmpt: error: this version prepares and checks a training, but does not train yet; nothing was run and "
            "nothing was written (--check asks for just this, and ends with exit code 0)\n"
        )
    return NOT_YET
