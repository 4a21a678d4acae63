"""`mmpt demo`: learns from nothing, in minutes: a world is made, learnt from, measured, searched and shown."""

import argparse
import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

EXAMPLES = """examples:
  mmpt demo
  mmpt demo --home /tmp/demo --seed 1

Makes a small world of narrated videos, trains VideoCLIP on it from random
weights, measures it on combinations of action, shape and colour that training
never showed, and writes HOME/report.html. About three minutes on two cores;
nothing is downloaded. Give the same command again after any stop: what is done
is kept.
"""
WORLD = Path("data/toy")
VIDEOS = 300
TRAINED = "toy/videoclip/how2.yaml"
YAML = f"projects/{TRAINED}"
REPORT, TOLD = "report.html", "demo.json"
MOST_SEED = 2**63 - 1  # of torch's generators
FEW = 100  # videos; the project's clusters of 32 would be most of them


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--home", type=Path, default=Path("runs/demo"), help="where to put it all (%(default)s)")
    parser.add_argument("--videos", type=int, default=VIDEOS, metavar="N", help="narrated videos (%(default)s)")
    parser.add_argument("--updates", type=int, metavar="N", help="steps of the training (the project's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the world and the training (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Go the whole way.

    Returns:
        0; otherwise the exit code of the step that failed.
    """
    from mmpt.utils.optional import require

    require("accelerate", extra="train")
    from mmpt.cli.console import out
    from mmpt.utils.disk import disk_full_told
    from mmpt.utils.folderlock import only_writer

    told = _checked(args)
    args.home.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with only_writer(args.home, "a demo"), disk_full_told(args.home), standing_in(args.home):
        claim(args.home, told)
        for number, (title, commands) in enumerate(steps(args.videos, args.seed), 1):
            out.print(f"\n{number}  {title}")
            if code := _run(commands):
                return code
        _learn(args)
        _show(args)
    target = args.home / REPORT
    out.print(f"\nDone in {time.perf_counter() - began:.0f} s. Look at it in a browser:\n")
    out.print(f"  {target.absolute().as_uri()}", soft_wrap=True)
    out.print("\nThe commands above run by themselves there, and so do all others, for example:\n")
    out.print(f"  cd {shlex.quote(str(args.home))}", soft_wrap=True)
    out.print(f'  mmpt score {WORLD}/heldout/new000.mp4 "bounce the red ball" --model {YAML}', soft_wrap=True)
    out.print()
    return 0


def _checked(args: argparse.Namespace) -> dict[str, int]:
    """Refuse numbers that a later step would refuse; gives what decides the demo's numbers."""
    from mmpt.config import load_config
    from mmpt.config.load import find_project_file
    from mmpt.toy.making import World

    World(seed=args.seed, videos=args.videos)
    if args.seed > MOST_SEED:
        raise ValueError(f"--seed is {args.seed}; it takes at most {MOST_SEED}")
    if args.updates is not None and args.updates < 1:
        raise ValueError(f"--updates is {args.updates}; it takes 1 or more")
    if args.home.exists() and not args.home.is_dir():
        raise ValueError(f"--home {args.home} is a file; name a folder, or one that is not there yet")
    updates = args.updates or load_config(find_project_file(TRAINED)).optim.max_update
    assert updates is not None, "the toy projects bound their updates"
    return {"seed": args.seed, "videos": args.videos, "updates": updates}


def claim(home: Path, told: Mapping[str, int]) -> None:
    """Say in the current folder which demo it is; refuse another one, before it changes what the first one made.

    Args:
        home: the folder, as the user calls it.
        told: what decides the demo's numbers.

    Raises:
        ValueError: the folder is of a demo that was told other things.
    """
    from mmpt.utils.files import atomic_path
    from mmpt.utils.tables import read_json

    path = Path(TOLD)
    for place in filter(Path.is_file, (path, WORLD / "world.json")):
        there = read_json(place)
        for key, value in told.items():
            found = there.get(key, value) if isinstance(there, dict) else None
            if found != value:
                raise ValueError(
                    f"{home} holds a demo with {key} {found}, and {value} is asked for; take another --home, or remove "
                    "this one"
                )
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(told) + "\n", encoding="utf-8")


@contextlib.contextmanager
def standing_in(home: Path) -> Iterator[None]:
    """Stand in a folder, as someone who goes there and types the commands.

    Args:
        home: the folder; it is made when absent.
    """
    home.mkdir(parents=True, exist_ok=True)
    before = os.environ.pop("MMPT_HOME", None)
    try:
        with contextlib.chdir(home):
            yield
    finally:
        if before is not None:
            os.environ["MMPT_HOME"] = before


def steps(videos: int, seed: int) -> list[tuple[str, list[list[str]]]]:
    """List what is done before the training.

    Args:
        videos: how many.
        seed: of the world.

    Returns:
        For each step what it is, and its commands, as words.
    """
    from mmpt.utils.parallel import cores

    shards, bert, clean = f"{WORLD}/shards", f"{WORLD}/bert", f"{WORLD}/how2/raw_caption_dedup.pkl"
    films = [f"{WORLD}/{part}" for part in ("videos", "heldout", "clips")]
    lists = ["--train", f"{WORLD}/how2/how2_s3d_train.lst", "--val", f"{WORLD}/how2/how2_s3d_val.lst"]
    sizes = ["--size", "600", "--width", "128", "--layers", "2", "--heads", "4"]
    return [
        ("A world of narrated videos", [["toy", f"{WORLD}", "--videos", f"{videos}", "--seed", f"{seed}"]]),
        (
            "A vector for each second, by the weight-free backbone",
            [["extract", *films, "-o", f"{WORLD}/features", "--backbone", "grid", "--workers", f"{cores()}"]],
        ),
        (
            "Clean captions, a vocabulary, word pieces",
            [
                ["captions", "dedup", f"{WORLD}/how2/raw_caption.json", "-o", f"{WORLD}/how2"],
                ["captions", "vocabulary", clean, "-o", bert, *sizes],
                ["shard", f"{WORLD}/features", "-o", shards, *lists],
                ["captions", "tokenize", clean, "--bert-name", bert, "-o", shards],
            ],
        ),
    ]


def overrides(videos: int, updates: int | None, seed: int) -> list[str]:
    """Say what differs from the project's file.

    Args:
        videos: how many there are to learn from; of few, clusters are smaller.
        updates: how many; None for the project's number.
        seed: of the training.

    Returns:
        ``key=value`` words.
    """
    changed = [f"fairseq.common.seed={seed}"]
    if updates is not None:
        changed += [f"fairseq.optimization.{key}={updates}" for key in ("max_update", "total_num_update")]
    if videos < FEW:
        changed += [f"dataset.num_video_per_batch={max(1, videos // 4)}", f"num_cands={max(1, videos // 2)}"]
    return changed


def _run(commands: Sequence[Sequence[str]]) -> int:
    """Run commands as typed; gives the first exit code that is not 0."""
    from mmpt.cli.console import out
    from mmpt.cli.main import main

    for words in commands:
        out.print(f"   $ mmpt {shlex.join(words)}", soft_wrap=True, style="dim")
        if code := main(list(words)):
            return code
    return 0


def _learn(args: argparse.Namespace) -> None:
    from mmpt.cli.console import out
    from mmpt.cli.demo_training import train
    from mmpt.config.load import find_project_file

    changed = overrides(args.videos, args.updates, args.seed)
    out.print("\n4  VideoCLIP, from random weights")
    out.print(f"   $ mmpt train {YAML} --from-scratch {shlex.join(changed)}", soft_wrap=True, style="dim")
    began = time.perf_counter()
    train(find_project_file(TRAINED), changed)
    out.print(f"trained in {time.perf_counter() - began:.0f} s")


def _show(args: argparse.Namespace) -> None:
    """Measure, look, and write the report."""
    from mmpt.cli import demo_measures as measures
    from mmpt.cli.console import out
    from mmpt.cli.demo_report import report
    from mmpt.cli.report import write_report

    record = json.loads((WORLD / "record.json").read_text(encoding="utf-8"))
    out.print("\n5  Zero-shot, on what training never showed")
    told, readers = measures.measure_all(record)
    measures.show(told, readers)
    out.print("6  A video second by second, and the best moments for a few sentences")
    commands = [
        *(shlex.join(["mmpt", *words]) for _, group in steps(args.videos, args.seed) for words in group),
        f"mmpt train {YAML} --from-scratch {shlex.join(overrides(args.videos, args.updates, args.seed))}",
        *(f"mmpt evaluate projects/{measures.PROJECT}/{task}.yaml" for task in measures.tasks()),
    ]
    write_report(Path(REPORT), report(WORLD, record, told, readers, commands))
