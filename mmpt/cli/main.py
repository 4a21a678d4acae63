"""The `mmpt` command: picks one command family's file and runs it.

A command's file offers `configure(parser)` and `run(args) -> exit code`. Only the chosen one is imported, and it
imports what it runs inside `run`, so that every --help answers at once.
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from mmpt import __version__

COMMANDS = {  # command -> what it does, in one line; its file is mmpt/cli/<command>.py
    "score": "score videos against sentences, with the best moment's time code",
    "convert": "turn an original checkpoint into a safetensors folder, and back",
    "download": "fetch the published weights to the documented places",
    "doctor": "say what is installed, what is missing and which command gets it",
    "demo": "score a short rendered clip with seeded random weights",
}

EXAMPLES = """examples:
  mmpt doctor
  mmpt download videoclip s3d
  mmpt score pancake.mkv "a woman flips a pancake" "two boys arm-wrestle"
"""

ERROR = 2  # exit code for bad input; 1 says that some of many items failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the program's name; by default those of the process.

    Returns:
        The exit code: 0 when all went well, 1 when some of many items failed, 2 for bad input.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = _parser(argv).parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="mmpt: %(message)s")
    warnings.showwarning = _show_warning
    try:
        return args.run(args)
    except (ValueError, FileNotFoundError, ModuleNotFoundError, OSError) as error:
        if args.verbose:
            raise
        sys.stderr.write(f"mmpt: error: {error}\n")
        return ERROR
    except KeyboardInterrupt:
        sys.stderr.write("mmpt: stopped\n")
        return 130


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpt",
        description="Video-text models: score, search and train with VideoCLIP and VLM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mmpt {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, and show tracebacks")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:
            module = import_module(f"mmpt.cli.{name}")
            module.configure(command)
            command.set_defaults(run=module.run)
    return parser


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"mmpt: warning: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
