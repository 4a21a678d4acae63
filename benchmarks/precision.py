"""Whether fewer bits keep rankings: features and scores of videos in every precision and runtime.

    python -m benchmarks.precision [VIDEO or FOLDER ...]

Weights are seeded, not trained, so everything looks much alike to them and rankings hang on small differences. Three
rankings are compared with those of fp32: of all started seconds by each second's likeness to them (dot product of unit
features), of the videos by each caption, and of the captions by each video (VideoCLIP's two towers).
"""

import argparse
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.paired import show
from benchmarks.s3d import seeded_s3d
from benchmarks.towers import captions
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.video.backbones.s3d import S3DBackbone
from mmpt.video.errors import VideoDamageWarning
from mmpt.video.features import extract

VIDEOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
WINDOW = 32  # seconds; what VideoCLIP takes at once
TOP = 5
SEED = 0
REFERENCE = "fp32 torch"
HEADER = ("ranking", "form", "least cosine", "Kendall tau", "top 1 same", f"top {TOP} shared", "error / spread")
FeaturesByForm = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Agreement:
    """How alike two tables of scores rank.

    Attributes:
        tau: Kendall's rank correlation, mean over the queries.
        top_1: part of the queries whose best is the same.
        top_5: part of the first five that is the same, mean over the queries.
        error: root mean square difference of scores, less each query's own shift, over the spread of its scores.
    """

    tau: float
    top_1: float
    top_5: float
    error: float


def compare_rankings(reference: np.ndarray, other: np.ndarray) -> Agreement:
    """Compare two tables of scores, query by query.

    Args:
        reference: (queries, items) scores; what is not a number is left out of both.
        other: the same queries' and items' scores in another form.

    Returns:
        The agreement.
    """
    taus, firsts, fives, errors = [], [], [], []
    for row, again in zip(reference.astype(np.float64), other.astype(np.float64), strict=True):
        a, b = row[~np.isnan(row)], again[~np.isnan(row)]
        upper = np.triu_indices(len(a), 1)
        order = np.sign(a[:, None] - a)[upper] * np.sign(b[:, None] - b)[upper]
        taus.append(order.mean())
        firsts.append(a.argmax() == b.argmax())
        fives.append(len(set(a.argsort()[-TOP:]) & set(b.argsort()[-TOP:])) / min(TOP, len(a)))
        errors.append((b - a).std() / a.std())
    return Agreement(*(float(np.mean(values)) for values in (taus, firsts, fives, errors)))


def compute_features(videos: Sequence[Path]) -> FeaturesByForm:
    """Extract the features of videos in every form that this machine has.

    Args:
        videos: the files.

    Returns:
        Form -> one array (seconds, 512) of unit rows for each video; the first is the reference.
    """
    model = seeded_s3d()
    runtimes = ["torch", "openvino"] if importlib.util.find_spec("openvino") else ["torch"]
    backbones = [
        S3DBackbone(model, precision=precision, runtime=runtime)
        for runtime in runtimes
        for precision in ("fp32", "bf16")
    ]
    return {
        f"{backbone.precision} {backbone.runtime}": [extract(video, backbone).array for video in videos]
        for backbone in backbones
    }


@torch.no_grad()
def score_captions(features: FeaturesByForm) -> dict[str, np.ndarray]:
    """Score captions against videos with a seeded VideoCLIP; a video's score is that of its best window.

    Args:
        features: of the videos, by form.

    Returns:
        Form -> (captions, videos).
    """
    torch.manual_seed(SEED)
    model = build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).eval()
    texts = model.get_text_features(*captions())
    tables = {}
    for form, arrays in features.items():
        columns = []
        for array in arrays:
            windows = [torch.from_numpy(array[start : start + WINDOW])[None] for start in range(0, len(array), WINDOW)]
            vectors = [model.get_video_features(part, torch.ones(part.shape[:2], dtype=torch.bool)) for part in windows]
            columns.append((texts @ torch.cat(vectors).T).amax(dim=1))
        tables[form] = torch.stack(columns, dim=1).numpy()
    return tables


def run(videos: Sequence[Path]) -> list[tuple[str, ...]]:
    """Compare every form's rankings with the reference's.

    Args:
        videos: the files, at least two.

    Returns:
        Rows with the cells that `HEADER` names.
    """
    features = compute_features(videos)
    rows = {form: np.concatenate(arrays) for form, arrays in features.items()}
    tables = {"seconds by a second": {form: _likeness(array) for form, array in rows.items()}}
    scores = score_captions(features)
    tables["videos by a caption"] = scores
    tables["captions by a video"] = {form: table.T for form, table in scores.items()}
    return [
        (name, form, *_cells(rows[REFERENCE], rows[form], compare_rankings(table[REFERENCE], table[form])))
        for name, table in tables.items()
        for form in table
        if form != REFERENCE
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0, or 2 when there are fewer than two videos.
    """
    parser = argparse.ArgumentParser(description="Whether fewer bits keep rankings.")
    parser.add_argument("videos", nargs="*", type=Path, default=[VIDEOS], help=f"files or folders (default: {VIDEOS})")
    args = parser.parse_args(arguments)
    files = [file for given in args.videos for file in (sorted(given.iterdir()) if given.is_dir() else [given])]
    if len(files) < 2:
        parser.error("name two videos or more, or a folder of them")
    warnings.simplefilter("ignore", VideoDamageWarning)
    show(f"Rankings of {len(files)} videos against {REFERENCE}", HEADER, run(files))
    return 0


def _likeness(rows: np.ndarray) -> np.ndarray:
    """(N, D) unit rows -> (N, N) dot products, without each row's own."""
    table = rows @ rows.T
    np.fill_diagonal(table, np.nan)
    return table


def _cells(reference: np.ndarray, other: np.ndarray, agreement: Agreement) -> tuple[str, ...]:
    cosine = (reference * other).sum(axis=1).min()
    shares = (f"{part:.1%}" for part in (agreement.top_1, agreement.top_5))
    return f"{cosine:.5f}", f"{agreement.tau:.4f}", *shares, f"{agreement.error:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
