"""The `mmpt` command: picks one command family's file and runs it.

A command's file offers `configure(parser)` and `run(args) -> exit code`. Only the chosen one is imported, and it
imports what it runs inside `run`, so that every --help answers at once.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from mmpt import __version__
from mmpt.cli.inputs import max_gap_of
from mmpt.cli.streams import legible_streams
from mmpt.utils.legible import is_unicode, one_line
from mmpt.video.finding import ends_like_video

COMMANDS = {  # command -> what it does, in one line; its file is mmpt/cli/<command>.py
    "score": "score videos against sentences, with the best moment's time code",
    "index": "put videos into a library that can be searched",
    "search": "find moments of indexed videos by text, by words said, or by a clip",
    "chapters": "divide a video among the steps of a recipe, as chapters",
    "segment": "say which of some labels fits when in a video",
    "library": "say what is in a library, check it, export it",
    "serve": "give a library an API and a page to search it with",
    "convert": "turn an original checkpoint into a safetensors folder, and back",
    "download": "fetch the published weights to the documented places",
    "shard": "put feature files into the shards that training reads",
    "prepare": "make one's own narrated videos ready for pre-training",
    "captions": "clean captions, and cut them into word pieces",
    "launch": "write a project's YAML files, and run the jobs of YAML files",
    "train": "train what a YAML file describes",
    "plot": "draw the curves of trainings",
    "evaluate": "measure a model on a data set, as a YAML file says",
    "compare": "compare two result cards, with how sure the differences are",
    "doctor": "say what is installed, what is missing and which command gets it",
    "extract": "turn videos into feature files, many at a time",
    "toy": "make a small world of narrated how-to videos to learn from",
    "demo": "score a short rendered clip with seeded random weights",
}

EXAMPLES = """examples:
  mmpt doctor
  mmpt download videoclip s3d
  mmpt score pancake.mkv "a woman flips a pancake" "two boys arm-wrestle"
"""

VIDEO_WORDS = ("inputs", "videos", "words")  # arguments that may name many videos
AROUND = 60  # characters shown before and after an invalid one
READER_LEFT = 141  # exit code that a shell gives a program which SIGPIPE ended
ERROR = 2  # exit code for bad input; 1 says that some of many items failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the program's name; by default those of the process.

    Returns:
        The exit code: 0 when all went well, 1 when some of many items failed, 2 for bad input.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with legible_streams(words), warnings.catch_warnings():
        args = _parse(words)
        logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="mmpt: %(message)s")
        warnings.showwarning = _show_warning
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        _check_unicode(args)
        with max_gap_of(args):
            code = args.run(args)
        sys.stdout.flush()
        return code
    except (ValueError, FileNotFoundError, ModuleNotFoundError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return READER_LEFT
        if args.verbose:
            raise
        told = error
        if isinstance(error, UnicodeEncodeError):  # the codec's own message does not help the user
            place = error.object[max(0, error.start - AROUND) : error.start + AROUND]
            told = f"'{place}' is not valid UTF-8; write it in UTF-8, and rename files whose names are not"
        sys.stderr.write(f"mmpt: error: {told}\n")
        return ERROR
    except KeyboardInterrupt:
        sys.stderr.write("mmpt: stopped\n")
        return 130


def _check_unicode(args: argparse.Namespace) -> None:
    """Refuse arguments that are not UTF-8, which Python keeps as surrogates, unless they are paths."""
    for name, value in vars(args).items():
        for word in value if isinstance(value, list) else [value]:
            if not isinstance(word, str) or is_unicode(word):
                continue
            places = (word, word.removeprefix("@"), word.rpartition("@")[0])  # forms of files in segment and search
            if any(os.path.lexists(os.path.expanduser(place)) for place in places):
                continue
            if name in VIDEO_WORDS and ends_like_video(word):  # reported by name later, without stopping the others
                continue
            raise ValueError(
                f"'{word}' is not valid UTF-8, nor the name of a file; write text in UTF-8 (does the terminal use "
                "another encoding?), and check paths"
            )


def _reader_left() -> bool:
    """Whether nobody reads the output any more, as after head; then nothing is written to it again."""
    try:
        sys.stdout.write("\n")  # without a buffer there may be nothing left to write that would tell
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is written at the end
        return True
    return False


def _parse(argv: list[str]) -> argparse.Namespace:
    """Read what stands before the command with the common parser, and the rest with the command's own.

    Only a parser without commands can read options between a command's words.
    """
    place = next((index for index, word in enumerate(argv) if not word.startswith("-")), len(argv))
    name = argv[place] if place < len(argv) else ""
    if name not in COMMANDS:
        _parser().parse_args(argv)  # tells what is wrong, or shows the help, and ends
    before = _parser().parse_args(argv[: place + 1])
    module = import_module(f"mmpt.cli.{name}")
    command = argparse.ArgumentParser(
        prog=f"mmpt {name}",
        description=_sentence(COMMANDS[name]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(command)
    _add_verbose(command, default=argparse.SUPPRESS)
    words = argv[place + 1 :]
    # The parser that lets options stand anywhere forgets in its second round that "--" has ended them, and knows no
    # commands of a command.
    plain = "--" in words or getattr(module, "SUBCOMMANDS", False)
    parse = command.parse_args if plain else command.parse_intermixed_args
    args = parse(words, argparse.Namespace(verbose=before.verbose))
    args.run = module.run
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpt",
        description="Video-text models: score, search and train with VideoCLIP and VLM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mmpt {__version__}")
    _add_verbose(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, *, default: bool | str) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", default=default, help="say more, and show tracebacks")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"mmpt: warning: {one_line(message)}\n")  # to rich's stand-in while a bar is shown


if __name__ == "__main__":
    sys.exit(main())
