"""Videos' vectors, neighbours among them, and clusters, against the recorded ones."""

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmpt.config import RunConfig, parse_config
from mmpt.retrieval import VectorRetriever, VideoVectorPool
from mmpt.retrieval.clusters import draw_clusters
from mmpt.retrieval.faiss_index import FaissRetriever
from mmpt.utils.registry import lookup
from mmpt.utils.seeding import generator
from tests.parity.comparing import assert_close

COVERS = "11_retrieval"


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def told(self) -> dict[str, Any]:
        return recorded(self.folder)["search"]["cases"][self.name]

    @property
    def centroids(self) -> torch.Tensor:
        return tensors(self.folder)[f"{self.name}/out/centroids"]


class Videos(NamedTuple):
    """The videos of the recorded index: an id that is added again is left out, and its first vector stays."""

    names: list[str]
    vectors: torch.Tensor

    @classmethod
    def read(cls, folder: Path) -> "Videos":
        first: dict[str, int] = {}
        for row, name in enumerate(recorded(folder)["retriever_ids"]):
            first.setdefault(name, row)
        return cls(list(first), tensors(folder)["retriever/in/vectors"][list(first.values())])

    def cells(self, centroids: torch.Tensor) -> torch.Tensor:
        """The inverted list of each video: that of the nearest centroid."""
        return torch.cdist(self.vectors, centroids).argmin(dim=1)

    def search(self, name: str, places: int, cells: torch.Tensor) -> list[str]:
        """Exact neighbours within the query's own inverted list; the query takes the first place."""
        query = self.names.index(name)
        rows = (cells == cells[query]).nonzero()[:, 0]
        own = (rows == query).nonzero()[:, 0]
        found = VectorRetriever().search(self.vectors[rows], own, places - 1).index[0]
        return [name, *(self.names[rows[place]] for place in found if place >= 0)]


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "retrieval.json").read_text())


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "retrieval.safetensors")


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in recorded(folder)["search"]["cases"]]


def configuration(folder: Path) -> RunConfig:
    blocks = "\nmodel: {model_cls: MMFusionSeparate}\nloss: {loss_cls: MMContraLoss}\n"
    return parse_config(recorded(folder)["pool"]["config_yaml"] + blocks)


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    assert {path.name for path in (golden_dir / COVERS).iterdir()} == {"retrieval.json", "retrieval.safetensors"}


def test_the_configuration_names_what_is_here(golden_dir: Path) -> None:
    run = configuration(golden_dir / COVERS)
    assert lookup("vectorpool", str(run.task.vectorpool_cls)) is VideoVectorPool
    assert lookup("retriever", str(run.task.retriever_cls)) is VectorRetriever
    batches = recorded(golden_dir / COVERS)["retri_predictor"]["batches"]
    assert max(len(batch) for batch in batches) == run.dataset.num_video_per_batch


def test_a_videos_vector_is_the_originals(golden_dir: Path) -> None:
    stored = tensors(golden_dir / COVERS)
    clips = recorded(golden_dir / COVERS)["pool"]["subsampling"]
    vectors = VideoVectorPool()(stored["pool/in/pooled_video"], stored["pool/in/pooled_text"], clips)
    assert_close(vectors, stored["pool/out/vectors"], "vectors")


def test_inverted_lists_are_the_originals(case: Case) -> None:
    videos = Videos.read(case.folder)
    assert len(videos.names) == case.told["ntotal"]
    cells = videos.cells(case.centroids)
    for number, members in case.told["inverted_lists"].items():
        assert (cells == int(number)).nonzero()[:, 0].tolist() == members


def test_neighbours_within_a_list_are_the_originals(case: Case) -> None:
    videos = Videos.read(case.folder)
    cells = videos.cells(case.centroids)
    for places, results in case.told["results_by_retri_factor"].items():
        found = [videos.search(name, int(places), cells) for name in case.told["queries"]]
        assert found == results, f"retri_factor {places}"


def test_faiss_finds_the_originals_neighbours(case: Case) -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[retrieval]')")
    videos = Videos.read(case.folder)
    retriever = FaissRetriever(
        cells=case.told["cent"], probes=case.told["nprobe"], trained_per_cell=case.told["examples_per_cent_to_train"]
    )
    queries = torch.tensor([videos.names.index(name) for name in case.told["queries"]])
    for places, results in case.told["results_by_retri_factor"].items():
        near = retriever.search(videos.vectors, queries, int(places) - 1)
        found = [
            [name, *(videos.names[row] for row in rows if row >= 0)]
            for name, rows in zip(case.told["queries"], near.index.tolist(), strict=True)
        ]
        assert found == results, f"retri_factor {places}"


def test_the_originals_clusters_come_of_these_neighbours_by_its_draws(golden_dir: Path) -> None:
    told, run = recorded(golden_dir / COVERS)["retri_predictor"], configuration(golden_dir / COVERS)
    places, size = int(run.task.num_cands or 0), int(run.dataset.num_video_per_batch or 0)
    videos = Videos.read(golden_dir / COVERS)
    cells = videos.cells(list_cases(golden_dir / COVERS)[0].centroids)
    draw = random.Random(1)  # what the original seeds globally
    queries = draw.sample(videos.names, told["n_ids"] // size)
    found = [videos.search(name, places, cells) for name in queries]
    # a small inverted list gives fewer videos than a batch holds, and then nothing is drawn
    assert [near if len(near) <= size else draw.sample(near, size) for near in found] == told["batches"]


def test_our_clusters_come_of_the_same_candidates(golden_dir: Path) -> None:
    told, run = recorded(golden_dir / COVERS)["retri_predictor"], configuration(golden_dir / COVERS)
    places, size = int(run.task.num_cands or 0), int(run.dataset.num_video_per_batch or 0)
    videos = Videos.read(golden_dir / COVERS)
    count = len(videos.names)
    queries = np.arange(0, count, size)[: told["n_ids"] // size]
    near = VectorRetriever().search(videos.vectors, torch.from_numpy(queries), places - 1)
    drawn = draw_clusters(queries, near.index.numpy(), near.distance.numpy(), size=size, videos=count, rng=generator(0))
    assert len(drawn.videos) == len(told["batches"])
    one_list = torch.zeros(count)  # exact: all videos are in one inverted list
    for cluster in drawn.videos.tolist():
        candidates = videos.search(videos.names[cluster[0]], places, one_list)
        assert {videos.names[row] for row in cluster} <= set(candidates) and len(set(cluster)) == size
