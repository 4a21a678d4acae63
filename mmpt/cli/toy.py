"""`mmpt toy`: a small world of rendered, narrated how-to videos, with annotations."""

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mmpt toy data/toy
  mmpt toy data/small --videos 20 --seed 1

Draws how-to videos of 30 to 60 seconds (H.264, 128x128, 8 frames a second) with
their narration, and writes lists, captions and annotations in the layouts of
the data sets that the YAML projects read. --videos counts those for training; a
fifth as many, 40 at most, are held out in addition. They show combinations of
action, shape and colour that no training video shows: with 200 videos or more,
200 clips of 200 combinations. The same seed gives the same world. Give the same
command again after any stop, or with more videos: what is done is kept.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("out", type=Path, metavar="OUT", help="the world's folder")
    parser.add_argument("--videos", type=int, default=200, metavar="N", help="for training (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed is another world (%(default)s)")
    parser.add_argument(
        "--lag",
        type=float,
        default=2.5,
        metavar="SECONDS",
        help="by which narration runs ahead of or behind the action at most (%(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that draw (one a core)")


def run(args: argparse.Namespace) -> int:
    """Make the world.

    Returns:
        0.
    """
    from mmpt.cli.console import out
    from mmpt.cli.progress import count_bar
    from mmpt.toy.making import World, make_world
    from mmpt.toy.plan import held_out_count
    from mmpt.utils.disk import disk_full_told
    from mmpt.utils.parallel import cores

    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers is {args.workers}; it takes the number of processes, 1 or more")
    world = World(seed=args.seed, videos=args.videos, lag=args.lag)
    total = world.videos + held_out_count(world.videos)
    with disk_full_told(args.out), count_bar("drawing videos", total) as bar:
        made = make_world(args.out, world, workers=args.workers or cores(), on_progress=lambda done, _: bar(done))
    out.print(f"drawn     {made.drawn:,} videos; {made.kept:,} were there", soft_wrap=True)
    lasting = f"{made.seconds / 60:,.0f} minutes together"
    out.print(f"world     {world.videos:,} videos to learn from, {made.held_out:,} held out; {lasting}", soft_wrap=True)
    out.print(f"written   {args.out}: videos, heldout, clips ({made.clips:,}), annotations", soft_wrap=True)
    return 0
