"""The papers' claims, checked on a toy world whose narration is out of step by up to five seconds.

Each arm trains with one thing changed (MIL-NCE's with its loss, clips and batches), for the same number of updates of
the same number of pairs, from the same seeds, and is asked to find 200 clips of combinations that training never
showed. What is done is kept: the same command goes on after any stop, and runs only what is missing.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cls_pooling
from benchmarks.ablation_results import (
    HEADER,
    Result,
    Summary,
    markdown,
    plot,
    read_result,
    rows,
    summarise,
    write_result,
)
from benchmarks.paired import show
from mmpt.cli.console import out, quiet_transformers
from mmpt.cli.demo import WORLD, standing_in, steps
from mmpt.cli.demo_measures import shares
from mmpt.cli.demo_training import train
from mmpt.cli.main import main as mmpt
from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.evaluators.running import evaluate, prepare
from mmpt.toy.readers import attributes
from mmpt.training.session import settings
from mmpt.utils.tables import read_json

EXAMPLES = """examples:
  python -m benchmarks.ablations
  python -m benchmarks.ablations --home /tmp/ablations --arms full strict --seeds 0
  python -m benchmarks.ablations --plot docs/images/ablations.png --markdown

All of it takes about 25 minutes of one core. Results lie in HOME/results, one
file a run.
"""
UPDATES, TUNING = 200, 300
LAG = 5.0  # seconds
GALLERY = 200
EVERY_VIDEO = 1_000_000  # candidates: where a cluster is drawn of all videos, none is retrieved
CHANCE = {"R1": 1 / GALLERY, "R5": 5 / GALLERY, "R10": 10 / GALLERY, "MR": (GALLERY + 1) / 2}

RANDOM = (f"num_cands={EVERY_VIDEO}",)
STRICT = ("dataset.aligner=VideoRetriAligner",)
CLS = (f"model.model_cls={cls_pooling.MMFusionSeparateCls.__name__}",)
SHARED = ("model.model_cls=MMFusionShare", "model.mm_encoder_cls=MMBertForEncoder", "model.video_encoder_cls=null")
SLOWLY = ("fairseq.optimization.lr=[0.0005]",)  # a quarter of the project's
CANDIDATES = (
    *("task=MILNCETask", "loss.loss_cls=MILNCELoss", "retri_epoch=null"),
    *("dataset.aligner=How2MILNCEAligner", "dataset.meta_processor=ShardedHow2MetaProcessor"),
    *("dataset.video_processor=ShardedVideoProcessor", "dataset.text_processor=ShardedTextProcessor"),
    *("dataset.num_video_per_batch=null", "dataset.clip_per_video=null", "fairseq.dataset.batch_size=128"),
    "fairseq.dataset.batch_sampler=shuffled",  # so that every batch has 128 pairs, as the others' have
)


@dataclass(frozen=True)
class Stage:
    """A training of an arm.

    Attributes:
        yaml: the project's file, below projects/toy.
        updates: how many.
        changes: what differs from the file.
        goes_on: whether it starts from the stage before.
    """

    yaml: str
    updates: int
    changes: tuple[str, ...] = ()
    goes_on: bool = False


@dataclass(frozen=True)
class Arm:
    """What is trained, and how it is measured.

    Attributes:
        name: in words.
        stages: its trainings, in order.
        test: the project's file of its evaluation, below projects/toy.
        changes: of that file.
        paper: R@1 of the paper's own ablation, zero-shot on YouCook2, in percent.
        reference: the short name of the arm that it is compared with.
    """

    name: str
    stages: tuple[Stage, ...]
    test: str = "videoclip/test_vtt_zs.yaml"
    changes: tuple[str, ...] = ()
    paper: float | None = None
    reference: str = "full"


def arms(updates: int, tuning: int) -> dict[str, Arm]:
    """List what is compared.

    Args:
        updates: of each pre-training.
        tuning: updates of VLM's fine-tuning.

    Returns:
        Short name -> arm.
    """

    def clip(
        name: str, changes: tuple[str, ...], paper: float | None, test: tuple[str, ...] = (), reference: str = "full"
    ) -> Arm:
        stages = (Stage("videoclip/how2.yaml", updates, changes),)
        return Arm(name, stages, changes=test, paper=paper, reference=reference)

    def vlm(name: str, *before: Stage) -> Arm:
        tuned = Stage("vlm/youcook.yaml", tuning, ("fairseq.optimization.max_epoch=null",), goes_on=bool(before))
        return Arm(name, (*before, tuned), test="vlm/test_vtt.yaml", reference="vlm")

    return {
        "full": clip("VideoCLIP, full", (), 22.7),
        "strict": clip("clips strictly aligned", STRICT, None),
        "random": clip("batches at random", RANDOM, 18.5),
        "random-strict": clip("at random, strictly aligned", (*RANDOM, *STRICT), 12.4),
        "cls": clip("[CLS] for the mean", CLS, 22.1, CLS),
        "full-slow": clip("full, a quarter of the rate", SLOWLY, None),
        "cls-slow": clip("[CLS], a quarter of the rate", (*CLS, *SLOWLY), None, CLS, "full-slow"),
        "shared": clip("one tower for both", SHARED, 21.9, SHARED),
        "milnce": clip("MIL-NCE's clips and loss", CANDIDATES, 16.1),
        "vlm": vlm("VLM, fine-tuned", Stage("vlm/how2.yaml", updates)),
        "vlm-no-mmm": vlm("VLM, no whole modality hidden", Stage("vlm/how2.yaml", updates, ("dataset.mm_prob=0",))),
        "vlm-fresh": vlm("VLM, not pre-trained"),
    }


def overrides(arm: Arm, number: int, seed: int, folder: str) -> list[str]:
    """Say what a training is told beside its file.

    Args:
        arm: whose training.
        number: which of its stages.
        seed: of the training.
        folder: of the run, in which each stage has its own.

    Returns:
        ``key=value`` words.
    """
    stage = arm.stages[number]
    return [
        *stage.changes,
        f"fairseq.common.seed={seed}",
        f"fairseq.optimization.max_update={stage.updates}",
        f"fairseq.optimization.total_num_update={stage.updates}",
        "fairseq.optimization.ema_decay=null",
        "fairseq.dataset.disable_validation=true",  # the last weights are measured, so that nothing is picked
        f"fairseq.checkpoint.save_interval={EVERY_VIDEO}",
        f"fairseq.checkpoint.save_dir={folder}/{number}",
        f"fairseq.checkpoint.restore_file={last(folder, number - 1) if stage.goes_on else 'checkpoint_last.pt'}",
    ]


def last(folder: str, number: int) -> str:
    """Say where the weights of a stage lie at its end."""
    return f"{folder}/{number}/checkpoint_last.pt"


def told(arm: Arm, world: Mapping[str, Any]) -> dict[str, Any]:
    """List what decides an arm's numbers, but for the seed.

    Args:
        arm: the arm.
        world: the value of the world's world.json.

    Returns:
        Plain values, as JSON has them.
    """
    stages = [[stage.yaml, stage.updates, *stage.changes] for stage in arm.stages]
    known = {key: world[key] for key in ("version", "seed", "videos", "lag")}
    projects = [_settings(arm, number) for number in range(len(arm.stages))]
    return {"world": known, "stages": stages, "test": [arm.test, *arm.changes], "projects": projects}


def _settings(arm: Arm, number: int) -> dict[str, Any]:
    """All that a stage is told, by the project's file as it is now."""
    run = load_config(find_project_file(f"toy/{arm.stages[number].yaml}"), overrides(arm, number, 0, ""))
    return json.loads(json.dumps(settings(run, items=0, world=1)))  # tuples become lists, as in a file


def make(videos: int, seed: int, lag: float) -> None:
    """Make the world, its features, captions and shards in the current folder, as far as they are not there."""
    for title, commands in steps(videos, seed):
        out.print(title)
        for words in commands:
            more = ["--lag", f"{lag:g}"] if words[0] == "toy" else []
            if code := mmpt([*words, *more]):
                raise SystemExit(code)


def run_arm(short: str, arm: Arm, seed: int, world: Mapping[str, Any]) -> Result:
    """Train and measure.

    Args:
        short: the arm's name.
        arm: what is trained.
        seed: of the training.
        world: the value of the world's world.json.

    Returns:
        What it reached.
    """
    began = time.process_time()
    folder = f"runs/{short}-{seed}"
    for number, stage in enumerate(arm.stages):
        train(find_project_file(f"toy/{stage.yaml}"), overrides(arm, number, seed, folder))
    weights = last(folder, len(arm.stages) - 1)
    run = load_config(find_project_file(f"toy/{arm.test}"), [*arm.changes, f"fairseq.common_eval.path={weights}"])
    with quiet_transformers():
        evaluation = prepare(run)
    card, answered = evaluate(evaluation)
    answers = evaluation.predictor.gather(answered, "fixed")
    return Result(
        short,
        seed,
        told(arm, world),
        {name: measure["value"] for name, measure in card.results["fixed"].items()},
        shares(answers, attributes(read_json(WORLD / "record.json"))),
        time.process_time() - began,
    )


def run_all(chosen: Mapping[str, Arm], seeds: Sequence[int]) -> dict[str, list[Result]]:
    """Run what is missing, seed by seed, so that what is there early can be compared.

    Args:
        chosen: the arms.
        seeds: of the trainings.

    Returns:
        Short name -> results, by seed.
    """
    world = json.loads((WORLD / "world.json").read_text(encoding="utf-8"))
    found: dict[str, list[Result]] = {short: [] for short in chosen}
    runs = [(seed, short) for seed in seeds for short in chosen]
    for number, (seed, short) in enumerate(runs, 1):
        arm = chosen[short]
        result = read_result(Path("results"), short, seed, told(arm, world))
        if result is None:
            out.print(f"{number} of {len(runs)}: {arm.name}, seed {seed}")
            result = run_arm(short, arm, seed, world)
            write_result(Path("results"), result)
            reached = ", ".join(f"{name} {100 * result.measures[name]:.1f}" for name in ("R1", "R5", "R10"))
            out.print(f"      {reached} % after {result.cpu_seconds:.0f} s")
        found[short].append(result)
    return found


def sum_up(chosen: Mapping[str, Arm], found: Mapping[str, Sequence[Result]]) -> list[Summary]:
    """Sum up what was found, arm by arm; arms of which nothing is there are left out."""
    return [
        summarise(arm.name, found[short], found.get(arm.reference, ()), arm.paper, tuned=arm.test.startswith("vlm/"))
        for short, arm in chosen.items()
        if found[short]
    ]


def shares_rows(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Write what first answers have right as the cells of a table, in percent."""
    return [(each.name, *(f"{100 * value:.0f}" for value in each.shares.values())) for each in summaries]


def main() -> None:
    """Run what is missing, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = list(arms(UPDATES, TUNING))
    parser.add_argument("--home", type=Path, default=Path("runs/ablations"), help="where it all lies (%(default)s)")
    parser.add_argument(
        "--arms", nargs="+", choices=known, default=known, metavar="ARM", help=f"of: {', '.join(known)}"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="of the trainings (0 1 2)")
    parser.add_argument("--updates", type=int, default=UPDATES, metavar="N", help="of a pre-training (%(default)s)")
    parser.add_argument("--tuning", type=int, default=TUNING, metavar="N", help="updates of fine-tuning (%(default)s)")
    parser.add_argument("--videos", type=int, default=200, metavar="N", help="to learn from (%(default)s)")
    parser.add_argument("--world-seed", type=int, default=0, metavar="N", help="of the world (%(default)s)")
    parser.add_argument("--lag", type=float, default=LAG, metavar="SECONDS", help="of the narration (%(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as a PNG file")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a page")
    args = parser.parse_args()
    every = arms(args.updates, args.tuning)
    chosen = {short: arm for short, arm in every.items() if short in args.arms}
    target = args.plot and args.plot.absolute()
    with standing_in(args.home):
        make(args.videos, args.world_seed, args.lag)
        found = run_all(chosen, args.seeds)
    summaries = sum_up(chosen, found)
    tables = {
        f"{GALLERY} clips of unseen combinations; mean ± s.d. over seeds {args.seeds}": (HEADER, rows(summaries)),
        "What first answers have right, %": (("", *summaries[0].shares), shares_rows(summaries)),
    }
    for title, (header, cells) in tables.items():
        if args.markdown:
            out.print(markdown(header, cells), soft_wrap=True, markup=False)
        else:
            show(title, header, cells)
    if target:
        title = f"Retrieval among {GALLERY} unseen clips, narration out of step by up to {args.lag:g} s"
        plot(target, summaries, CHANCE, title)


if __name__ == "__main__":
    main()
