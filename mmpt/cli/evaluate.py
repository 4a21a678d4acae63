"""`mmpt evaluate`: prepare and check the evaluation of a YAML file."""

import argparse

EXAMPLES = """examples:
  mmpt evaluate projects/mtm/vlm/test_vtt.yaml --check
  mmpt evaluate projects/mtm/vlm/test_coin.yaml --check dataset.test_path=my.json

Every key, class and file that the YAML file names is looked at, the data set
and the model are made, and the first batch is shown. This version does not
predict yet.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from mmpt.cli import preparing

    parser.epilog = EXAMPLES
    preparing.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare an evaluation.

    Returns:
        0 with --check, else 2.
    """
    from mmpt.cli.preparing import prepare

    return prepare(args, evaluation=True)
