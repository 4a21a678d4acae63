"""A whole evaluation: YAML -> data, model, answers, result card."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from mmpt.utils.featurefile import read_about, read_head
from mmpt.utils.files import content_hash
from mmpt.utils.places import locate
from mmpt.utils.registry import lookup
from mmpt.video.backbones.s3d import check_device
from mmpt.video.features import OneOrigin

# keys of a data set whose files decide which items there are and what is right
ANNOTATIONS = (
    *("train_path", "val_path", "test_path", "trainval_annotation", "json_path"),
    *("train_csv_path", "val_csv_path", "primary_path", "related_path", "annotation_path"),
)
OTHER_PARTS = {
    "train": ("val_path", "test_path"),
    "valid": ("train_path", "test_path"),
    "test": ("train_path", "val_path"),
}
KEY_DIGITS = 16
ROWS_FORMAT = 2  # goes up when predictors keep other things, so that those of before are asked again
TOLD = 5  # feature files that do not fit, in a message

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
        ValueError: something is missing from the file, or does not fit, or there is no such device.
    """
    if run.task.predictor is None or run.task.metric is None:
        raise ValueError(f"{run.source} names no predictor or no metric; an evaluation's file names both")
    named = checkpoint or run.checkpoint.path
    if named is None:
        raise ValueError(f"{run.source} does not say which checkpoint to evaluate; set fairseq.common_eval.path")
    predictor = _make_predictor(run, run.task.predictor)
    lookup("metric", run.task.metric, where=f"metric in {run.source}", may_import=True)
    weights = find_weights(named)
    dataset = build_dataset(run.dataset, seed=run.optim.seed)
    model = build_on_meta(build_config(run))
    _check_features(run, dataset, model)
    load_original(model, weights, without_heads=True)  # zero-shot, a task meets the checkpoint of the pre-training
    model.eval().to(check_device(device))  # pyright: ignore[reportArgumentType] - transformers' stubs
    predictor.prepare(model, dataset)
    return Evaluation(run, dataset, model, weights, predictor)


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
    examples = [str(name) for name in getattr(answers["fixed"], "ids", None) or [row["id"] for row in rows]]
    video_of = {str(row["id"]): dataset.meta.video_of(index) for index, row in enumerate(rows)}
    videos = [video_of[name] for name in examples]
    results, baselines, parts = judge(metric, answers, videos)
    card = Card(
        title=run.source,
        results=results,
        baselines=baselines,
        protocol=_protocol(evaluation, rows),
        hashes=hashes,
        wall_seconds=time.perf_counter() - began,
        examples=examples,
        videos=videos,
        parts={name: each for name, each in parts.items() if len(each) == len(examples)},
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
        ValueError: the configuration names no checkpoint.
    """
    if run.checkpoint.path is None:
        raise ValueError(f"{run.source} does not say where its checkpoints are; set fairseq.common_eval.path")
    folder = locate(run.checkpoint.path).parent
    found = sorted(folder.glob("checkpoint*.pt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not found:
        raise FileNotFoundError(f"there is no checkpoint*.pt in {folder}; train first, or set fairseq.common_eval.path")
    return found


def _make_predictor(run: RunConfig, name: str) -> Predictor:
    made = lookup("predictor", name, where=f"predictor in {run.source}", may_import=True)
    if run.task.gen_param and made.__init__ is object.__init__:
        raise ValueError(f"{run.source} has gen_param, and {name} takes none; it is for NLGPredictor, captioning")
    return made(**(run.task.gen_param or {}))


def _check_features(run: RunConfig, dataset: MMDataset, model: MMPTPreTrainedModel) -> None:
    """Compare every video's features with the model and the configuration, by the heads of the files."""
    wanted, problems = model.config.video_dim, []
    origin = OneOrigin(run.dataset.backbone, run.dataset.l2_normalize)
    for video in _videos(dataset):
        path = feature_path(dataset.video.folder, video)
        try:
            shape, about = read_head(path)
            origin.check(about, path)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        if shape[1] != wanted:
            problems.append(f"{path} has {shape[1]} columns, and the model takes {wanted} (model.video_dim)")
    if problems:
        more = f"\n  and {len(problems) - TOLD:,} more" if len(problems) > TOLD else ""
        raise ValueError(
            f"{len(problems):,} feature files in {run.dataset.vfeat_dir} do not fit; extract those videos again with "
            "the backbone that the model was trained on:\n  " + "\n  ".join(problems[:TOLD]) + more
        )


def _protocol(evaluation: Evaluation, rows: Sequence[Row]) -> dict[str, Any]:
    run, dataset, predictor = evaluation.run, evaluation.dataset, evaluation.predictor
    config = run.dataset
    size = config.sliding_window_size or config.max_video_len
    windowed = config.sliding_window is not None
    videos = _videos(dataset)
    told = read_about(feature_path(dataset.video.folder, videos[0]))
    return {
        "task": predictor.task or "as the predictor's name says",
        "predictor": run.task.predictor,
        "metric": run.task.metric,
        "model": type(evaluation.model).__name__,
        "split": config.split,
        "items": len(dataset),
        "videos": len(videos),
        "missing": list(dataset.missing),
        "rows left out": list(dataset.meta.faults),
        **({"not in the release": "; ".join(dataset.meta.notes)} if dataset.meta.notes else {}),
        "window": f"{size} s" if windowed else f"the first {config.max_video_len} s",
        "stride": f"{config.sliding_window} s" if windowed else "none",
        "features": f"{config.backbone}, one vector a second, {'' if config.l2_normalize else 'not '}of unit length",
        "frames per second": told.get("fps", "not told by the feature files"),
        "pooling": predictor.pooling,
        "num_iso_layer": config.num_iso_layer,
        "captions": dataset.meta.listing.source,
        "checkpoint": str(evaluation.checkpoint),
        **predictor.notes(rows),
    }


def _videos(dataset: MMDataset) -> list[str]:
    """The videos of a data set, each once."""
    return list(dict.fromkeys(dataset.meta.video_of(index) for index in range(len(dataset))))


def _hashes(evaluation: Evaluation) -> dict[str, str]:
    run = evaluation.run
    return {
        "config": _hash(run.raw),
        "checkpoint": remembered_hash(evaluation.checkpoint),
        "annotations": _combined(_annotation_files(run.raw.get("dataset", {}))),
        "vocabulary": _hash(dict(evaluation.dataset.aligner.tokenizer.get_vocab())),
        "features": _combined(
            feature_path(evaluation.dataset.video.folder, video) for video in _videos(evaluation.dataset)
        ),
    }


def _annotation_files(block: Mapping[str, Any]) -> Iterator[Path]:
    unread = OTHER_PARTS.get(str(block.get("split", "train")), ())
    for key in ANNOTATIONS:
        path = locate(block[key]) if isinstance(block.get(key), str) and key not in unread else None
        if path is not None and path.is_dir():
            yield from (file for file in path.iterdir() if file.is_file())
        elif path is not None and path.is_file():
            yield path


def _combined(files: Iterable[Path]) -> str:
    """Hash the names and bytes of files."""
    return _hash(sorted((os.fsencode(file.name).hex(), content_hash(file)) for file in files))


def _key(evaluation: Evaluation, hashes: Mapping[str, str]) -> str:
    """What answers depend on."""
    run = evaluation.run
    told = {key: run.raw.get(key) for key in ("dataset", "model", "predictor", "gen_param")}
    model = evaluation.model.config.to_dict()  # with what BERT's folder says, such as the number of heads
    content = [ROWS_FORMAT, run.optim.seed, told, model, {name: hashes[name] for name in hashes if name != "config"}]
    return _hash(content)[:KEY_DIGITS]


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
