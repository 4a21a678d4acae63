"""A whole evaluation: YAML -> data, model, answers, result card."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmpt.config import RunConfig
from mmpt.datasets.mmdataset import MMDataset, build_dataset
from mmpt.evaluators.base import PROTOCOLS
from mmpt.evaluators.cards import Card, judge
from mmpt.evaluators.predicting import Predictor, Row, predict
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_config
from mmpt.models.checkpoints import build_on_meta, load_original
from mmpt.models.pretrained import find_weights
from mmpt.processors.base import feature_path
from mmpt.utils.content import remembered_hash
from mmpt.utils.files import content_hash
from mmpt.utils.places import locate
from mmpt.utils.registry import lookup

ANNOTATIONS = (
    "test_path",
    "trainval_annotation",
    "json_path",
    "primary_path",
    "annotation_path",
)  # that decide answers
KEY_DIGITS = 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is evaluated, made and checked.

    Attributes:
        run: the configuration.
        dataset: the items.
        model: in evaluation mode.
        checkpoint: the file of its weights.
        predictor: asks the model.
    """

    run: RunConfig
    dataset: MMDataset
    model: MMPTPreTrainedModel
    checkpoint: Path
    predictor: Predictor


def prepare(run: RunConfig, *, checkpoint: Path | None = None, device: str | torch.device = "cpu") -> Evaluation:
    """Make what a file describes, and see that it fits together.

    Args:
        run: the configuration.
        checkpoint: weights to use in place of the file's (fairseq.common_eval.path).
        device: where the model runs.

    Returns:
        Everything, ready.

    Raises:
        FileNotFoundError: weights, features or annotations are not there.
        ValueError: something is missing from the file, or does not fit.
    """
    if run.task.predictor is None or run.task.metric is None:
        raise ValueError(f"{run.source} names no predictor or no metric; an evaluation's file names both")
    named = checkpoint or run.checkpoint.path
    if named is None:
        raise ValueError(f"{run.source} does not say which checkpoint to evaluate; set fairseq.common_eval.path")
    dataset = build_dataset(run.dataset, seed=run.optim.seed)
    weights = find_weights(named)
    model = build_on_meta(build_config(run))
    load_original(model, weights)
    predictor = lookup("predictor", run.task.predictor, where=f"predictor in {run.source}", may_import=True)
    made = predictor(**(run.task.gen_param or {}))
    model.eval().to(torch.device(device))  # pyright: ignore[reportArgumentType] - transformers' stubs
    evaluation = Evaluation(run, dataset, model, weights, made)
    _check_width(evaluation)
    made.prepare(evaluation.model, dataset)
    return evaluation


def evaluate(
    evaluation: Evaluation, *, folder: Path | None = None, on_progress: Progress | None = None
) -> tuple[Card, list[Row]]:
    """Answer every item, and judge the answers.

    Args:
        evaluation: what `prepare` gives.
        folder: where answers are kept, so that an interrupted evaluation goes on; None keeps none.
        on_progress: called with the number of items done, and of all.

    Returns:
        The result card, and what was said of each item.

    Raises:
        ValueError: an item cannot be read.
    """
    run, dataset = evaluation.run, evaluation.dataset
    began = time.perf_counter()
    hashes = _hashes(evaluation)
    kept = None if folder is None else folder / "predictions" / _key(evaluation, hashes)
    rows = predict(
        evaluation.model,
        dataset,
        evaluation.predictor,
        batch_size=evaluation.predictor.items_at_once or run.loader.batch_size or 1,
        folder=kept,
        on_progress=None if on_progress is None else lambda done: on_progress(done, len(dataset)),
    )
    answers = {protocol: evaluation.predictor.gather(rows, protocol) for protocol in PROTOCOLS}
    metric = lookup("metric", str(run.task.metric), where=f"metric in {run.source}", may_import=True)()
    results, baselines, parts = judge(metric, answers)
    card = Card(
        title=run.source,
        results=results,
        baselines=baselines,
        protocol=_protocol(evaluation),
        hashes=hashes,
        wall_seconds=time.perf_counter() - began,
        examples=[str(row["id"]) for row in rows],
        parts={name: rows_of for name, rows_of in parts.items() if len(rows_of) == len(rows)},
    )
    return card, rows


def checkpoints_of(run: RunConfig) -> list[Path]:
    """List a run's checkpoints.

    Args:
        run: the configuration.

    Returns:
        The .pt files beside the one that the file names, oldest first.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = locate(run.checkpoint.path or "").parent
    found = sorted(folder.glob("checkpoint*.pt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not found:
        raise FileNotFoundError(f"there is no checkpoint*.pt in {folder}; train first, or set fairseq.common_eval.path")
    return found


def _check_width(evaluation: Evaluation) -> None:
    """Compare the first video's features with the model, before anything runs."""
    video_id = evaluation.dataset.meta[0][0]
    width, wanted = evaluation.dataset.video(video_id).shape[1], evaluation.model.config.video_dim
    if width != wanted:
        raise ValueError(
            f"the features in {evaluation.run.dataset.vfeat_dir} have {width} columns, and the model takes {wanted}; "
            "extract the videos with the backbone that the model was trained on, or set model.video_dim"
        )


def _protocol(evaluation: Evaluation) -> dict[str, Any]:
    run, dataset = evaluation.run, evaluation.dataset
    config = run.dataset
    size = config.sliding_window_size or config.max_video_len
    windowed = config.sliding_window is not None
    return {
        "predictor": run.task.predictor,
        "metric": run.task.metric,
        "model": type(evaluation.model).__name__,
        "split": config.split,
        "items": len(dataset),
        "videos": len(_videos(dataset)),
        "missing": list(dataset.missing),
        "rows left out": list(dataset.meta.faults),
        "window": f"{size} s" if windowed else f"the first {config.max_video_len} s",
        "stride": f"{config.sliding_window} s" if windowed else "none",
        "features": f"{config.backbone}, one vector a second, {'' if config.l2_normalize else 'not '}of unit length",
        "pooling": "mean over seconds and the [SEP] behind them",
        "num_iso_layer": config.num_iso_layer,
        "captions": dataset.meta.listing.source,
        "checkpoint": str(evaluation.checkpoint),
    }


def _videos(dataset: MMDataset) -> list[str]:
    """The videos of a data set, each once."""
    return list(dict.fromkeys(_video_of(dataset.meta[index][0]) for index in range(len(dataset))))


def _video_of(video_id: Any) -> str:
    """The video that an item is cut from: an item's id is that, or names it, or begins with it."""
    if isinstance(video_id, tuple):
        return str(getattr(video_id, "video", video_id[0]))
    return str(video_id)


def _hashes(evaluation: Evaluation) -> dict[str, str]:
    run = evaluation.run
    return {
        "config": hashlib.sha256(json.dumps(run.raw, sort_keys=True, default=str).encode()).hexdigest(),
        "checkpoint": remembered_hash(evaluation.checkpoint),
        "annotations": _combined(_annotation_files(run.raw.get("dataset", {}))),
        "features": _combined(
            feature_path(evaluation.dataset.video.folder, video) for video in _videos(evaluation.dataset)
        ),
    }


def _annotation_files(block: Mapping[str, Any]) -> Iterator[Path]:
    for key in ANNOTATIONS:
        path = locate(block[key]) if isinstance(block.get(key), str) else None
        if path is not None and path.is_dir():
            yield from sorted(path.iterdir())
        elif path is not None and path.is_file():
            yield path


def _combined(files: Iterable[Path]) -> str:
    """Hash the names and bytes of files."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{os.fsencode(file.name).hex()} {content_hash(file)}\n".encode())
    return digest.hexdigest()


def _key(evaluation: Evaluation, hashes: Mapping[str, str]) -> str:
    """What answers depend on."""
    raw = evaluation.run.raw
    told = {key: raw.get(key) for key in ("dataset", "model", "predictor", "gen_param")}
    content = [told, {name: hashes[name] for name in ("checkpoint", "annotations", "features")}]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:KEY_DIGITS]
