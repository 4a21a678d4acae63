"""What real annotation files give without looking at a video: the numbers that a model has to beat.

    python -m benchmarks.priors --didemo test_data.json --coin COIN.json

Intervals draw whole videos (95 %). Figures with their reading stand in docs/evaluating.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mmpt.config.schema import DatasetConfig
from mmpt.evaluators.base import Measure
from mmpt.evaluators.bootstrap import interval
from mmpt.evaluators.cards import groups_of
from mmpt.evaluators.moments import MOMENTS, DiDeMoMetric, MomentAnswers
from mmpt.evaluators.segmentation import COINActionSegmentationMetric, LabelledVideo
from mmpt.processors.coin import COINActionSegmentationMetaProcessor
from mmpt.processors.didemo import DiDeMoMetaProcessor
from mmpt.processors.ds import covered_seconds
from mmpt.utils.tables import read_json

# of VideoCLIP, in Xu et al., EMNLP 2021
PUBLISHED = {"DiDeMo": {"rank1": 0.166, "rank5": 0.469}, "COIN": {"frame_acc": 0.589}}


def didemo(path: Path) -> tuple[Mapping[str, Mapping[str, float]], Mapping[str, Measure], Sequence[str]]:
    """The baselines of a file of DiDeMo; the measures of `always the first piece`, and each sentence's video."""
    meta = DiDeMoMetaProcessor(dataset_config(path))
    segments = {row["description"].strip(): row.get("num_segments", 6) for row in read_json(path)}
    rankings = [[m for m in MOMENTS if m[1] < segments[text]] for _, text in meta.listing.items]
    answers = MomentAnswers(rankings, meta.times)
    return DiDeMoMetric().baselines(answers), DiDeMoMetric().compute(answers), [v for v, _ in meta.listing.items]


def coin(path: Path) -> tuple[Mapping[str, Mapping[str, float]], Mapping[str, Measure], Sequence[str]]:
    """The same of a file of COIN, with the measures of `all background`."""
    durations = {video: record["duration"] for video, record in read_json(path)["database"].items()}
    videos = []
    for video, steps in COINActionSegmentationMetaProcessor(dataset_config(path)).listing.items:
        true = np.zeros(int(durations[video]), int)  # whole seconds
        for start, end, label in zip(steps["start"], steps["end"], steps["label"], strict=True):
            true[covered_seconds(start, end, len(true), video)] = label
        videos.append(LabelledVideo(video, np.zeros_like(true), true))
    metric = COINActionSegmentationMetric()
    return metric.baselines(videos), metric.compute(videos), [video.video for video in videos]


def dataset_config(path: Path) -> DatasetConfig:
    return DatasetConfig(split="test", test_path=str(path), bert_name="bert-base-uncased")


def show(name: str, found: tuple[Mapping[str, Mapping[str, float]], Mapping[str, Measure], Sequence[str]]) -> None:
    baselines, measures, videos = found
    table = Table(title=f"{name}: {len(videos):,} items of {len(set(videos)):,} videos", title_justify="left")
    names = list(measures)
    table.add_column("without looking at the video")
    for measure in names:
        table.add_column(measure, justify="right")
    for method, values in baselines.items():
        table.add_row(method, *(f"{values.get(measure, float('nan')):.1%}" for measure in names))
    spans = [interval(each, groups=groups_of(videos, len(each.parts))) for each in measures.values()]
    alone = [interval(each) for each in measures.values()]
    constant = "always the first piece" if name == "DiDeMo" else "all background"
    table.add_row(f"{constant}, 95 %", *(f"{low:.1%} to {high:.1%}" for low, high in spans))
    if len(set(videos)) < len(videos):
        wider = ((high - low) / (last - first) for (low, high), (first, last) in zip(spans, alone, strict=True))
        table.add_row("times as wide as item by item", *(f"{ratio:.2f}" for ratio in wider))
    table.add_row("published, zero-shot", *(_percent(PUBLISHED[name].get(measure)) for measure in names))
    Console(width=120).print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--didemo", type=Path, help="test_data.json or val_data.json")
    parser.add_argument("--coin", type=Path, help="COIN.json")
    args = parser.parse_args()
    if args.didemo:
        show("DiDeMo", didemo(args.didemo))
    if args.coin:
        show("COIN", coin(args.coin))
    if not (args.didemo or args.coin):
        parser.error("name --didemo FILE, --coin FILE or both")


if __name__ == "__main__":
    main()
