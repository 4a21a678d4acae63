"""Plans: a pure function of seed, epoch and vectors, the same in every process."""

import logging
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed

from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.config.schema import LossConfig, TaskConfig
from mmpt.datasets import ClusterBatchSampler, ItemKey, MMDataset, build_dataset, build_loader, collate
from mmpt.models.bert import load_bert_config
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.processors.base import MetaProcessor
from mmpt.processors.how2_aligners import VariedLenAligner
from mmpt.retrieval import (
    Plan,
    VideoVectorPool,
    clips_of_plan,
    embed_videos,
    is_due,
    plan_clusters,
    plan_epoch,
    planner,
)
from mmpt.tasks.base import build_task
from tests.processors.narrated import WIDTH, narrated, write_narrated

VIDEOS, SIZE, CANDS = 23, 3, 6
SIZES: dict[str, Any] = {"num_cands": CANDS, "num_video_per_batch": SIZE}
PROCESSES = 2


def make_dataset(folder: Path, bert: Path, **more: Any) -> MMDataset:
    keys = write_narrated(folder, [2 + number % 7 for number in range(VIDEOS)], per_shard=8)  # v0 has one caption
    classes = {
        "meta_processor": "ShardedHow2VideoRetriMetaProcessor",
        "video_processor": "ShardedVideoRetriVideoProcessor",
        "text_processor": "ShardedVideoRetriTextProcessor",
        "aligner": "VideoRetriOverlappedAligner",
        "clip_per_video": 5,
        "num_video_per_batch": SIZE,
    }
    return build_dataset(narrated({**keys, **classes, "bert_name": str(bert), **more}), seed=4)


def make_model(bert: Path, model_cls: str = "MMFusionSeparate") -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape: dict[str, Any] = {"max_len": 24, "max_video_len": 8, "video_dim": WIDTH, "num_hidden_video_layers": 2}
        return build_model(MMPTConfig(load_bert_config(bert), model_cls=model_cls, **shape))


@pytest.fixture(scope="module")
def bert(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue("golden_dir") / "common" / "tiny-bert"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> MMDataset:
    return make_dataset(tmp_path_factory.mktemp("narrated") / "shards", bert)


@pytest.fixture(scope="module")
def model(bert: Path) -> Any:
    return make_model(bert)


def points(count: int = 200, width: int = 8) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((count, width), np.float32))


def plan_of(vectors: torch.Tensor, *, seed: int = 1, epoch: int = 2, **more: Any) -> Plan:
    return plan_clusters(vectors, seed=seed, epoch=epoch, **{"num_cands": 16, "num_video_per_batch": 8, **more})


# --- embedding ---


def plain_vectors(model: Any, dataset: MMDataset, clips: int, epoch: int) -> torch.Tensor:
    """Video by video, clip by clip, through the whole model."""
    model.eval()
    found = []
    with torch.no_grad():
        for index in range(len(dataset)):
            item = dataset[ItemKey(epoch, index)]
            parts = []
            for clip in range(clips):
                batch = {key: item[key][clip : clip + 1] for key in ("caps", "cmasks", "vfeats", "vmasks")}
                out = model(**batch)
                parts.append((out.pooled_video + out.pooled_text) / 2)
            found.append(torch.cat(parts).mean(dim=0))
    return torch.stack(found)


def embed(model: Any, dataset: MMDataset, **more: Any) -> torch.Tensor:
    blocks = [range(start, min(start + 7, VIDEOS)) for start in range(0, VIDEOS, 7)]
    return embed_videos(model, dataset, blocks, **{"epoch": 1, "pool": VideoVectorPool(), **more})


@pytest.mark.parametrize("model_cls", ["MMFusionSeparate", "MMFusionShare"])
def test_a_video_lies_at_the_mean_of_its_clips(dataset: MMDataset, bert: Path, model_cls: str) -> None:
    model = make_model(bert, model_cls)
    for clips in (2, 5):
        drawn = clips_of_plan(dataset, clips=clips, aligner=None)
        found = embed(model, drawn)
        assert found.dtype == torch.float32 and torch.allclose(found, plain_vectors(model, drawn, clips, 1), atol=1e-5)
    assert torch.equal(found, embed(model, dataset)), "which draws five as well"


def test_embedding_leaves_everything_as_it_was(dataset: MMDataset, bert: Path) -> None:
    model = make_model(bert).train()
    model.text_encoder.eval()  # frozen, for example
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    found = embed(model, dataset)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not found.is_inference() and not found.requires_grad
    batch = collate(dataset.__getitems__([ItemKey(0, 0)]))  # and the model still learns
    model(**{key: batch[key][0] for key in ("caps", "cmasks", "vfeats", "vmasks")}).pooled_video.sum().backward()


def test_embedding_is_the_same_again_and_with_workers(dataset: MMDataset, model: Any) -> None:
    assert torch.equal(embed(model, dataset), embed(model, dataset, num_workers=2))
    assert not torch.equal(embed(model, dataset), embed(model, dataset, epoch=2))


def test_embedding_in_half_precision(dataset: MMDataset, model: Any) -> None:
    half = embed(model, dataset, precision=torch.bfloat16)
    assert half.dtype == torch.float32 and not torch.equal(half, embed(model, dataset))
    assert torch.allclose(half, embed(model, dataset), atol=0.05)


def test_one_clip_of_a_video_and_progress(tmp_path: Path, bert: Path, model: Any) -> None:
    plain = {"aligner": "OverlappedAligner", "num_video_per_batch": None}
    one = make_dataset(tmp_path / "shards", bert, **plain)
    told: list[tuple[int, int]] = []
    found = embed(model, one, on_progress=lambda done, total: told.append((done, total)))
    assert found.shape == (VIDEOS, 48) and told == [(7, 23), (14, 23), (21, 23), (23, 23)]


def test_a_vector_that_is_nan_names_the_video(dataset: MMDataset, bert: Path) -> None:
    model = make_model(bert)
    with torch.no_grad():
        model.video_encoder.videomlp.linear1.bias.fill_(torch.nan)
    with pytest.raises(
        ValueError, match=r"NaN or infinite for 7 of 7 videos \(v0, v1, v2, \.\.\.\).*earlier checkpoint"
    ):
        embed(model, dataset)


def test_a_model_that_mixes_is_refused(dataset: MMDataset, bert: Path) -> None:
    with pytest.raises(ValueError, match="mixes video and text"):
        embed(make_model(bert, "MMFusionJoint"), dataset)


# --- plans of vectors ---


def test_a_plan_is_a_pure_function(dataset: MMDataset) -> None:
    rows = points()
    plan = plan_of(rows)
    state = np.random.get_state()[1].copy()  # pyright: ignore
    assert plan_of(rows) == plan and plan_of(rows, world=4).clusters == plan.clusters
    assert (np.random.get_state()[1] == state).all()  # pyright: ignore
    assert torch.equal(rows, points())
    assert plan_of(rows, seed=2).clusters != plan.clusters != plan_of(rows, epoch=3).clusters


def test_clusters_are_full_and_of_the_nearest() -> None:
    rows = points()
    plan = plan_of(rows)
    assert len(plan.clusters) == 200 // 8 and plan.statistics["clusters"] == 25
    queries = [cluster[0] for cluster in plan.clusters]
    assert len(set(queries)) == 25
    for cluster in plan.clusters:
        nearest = (rows - rows[cluster[0]]).norm(dim=1).argsort()[:16].tolist()
        assert len(set(cluster)) == 8 and set(cluster) <= set(nearest)
    told = plan.statistics
    assert told["hard_negatives"] == 1 and told["neighbour_distance"] < 0.8 * told["random_distance"]
    assert told["distinct_videos"] == len({video for cluster in plan.clusters for video in cluster})
    assert "25 clusters of 8: 100% of the negatives are neighbours" in str(plan)


def test_a_last_digit_changes_no_cluster() -> None:
    rows = points()
    assert plan_of(rows * (1 + 1e-6)).clusters == plan_of(rows).clusters


def test_what_all_processes_cannot_share_is_counted() -> None:
    plan = plan_of(points(), world=4)
    sampler = ClusterBatchSampler([range(8)] * 4, world=4)
    sampler.plan(3, plan.clusters)
    assert sampler.dropped == 1 and len(sampler) == 6


def test_per_rank_neighbours_come_from_one_share() -> None:
    plan = plan_of(points(203), world=4, per_rank=True)
    shares = [{video % 4 for video in cluster} for cluster in plan.clusters]
    assert all(len(share) == 1 for share in shares)
    assert [shares.count({rank}) for rank in range(4)] == [50 // 8] * 4
    assert plan_of(points(203), world=1, per_rank=True) == plan_of(points(203))


@pytest.mark.parametrize("per_rank", [False, True])
def test_too_few_videos(per_rank: bool) -> None:
    assert len(plan_of(points(16), world=2, per_rank=per_rank).clusters) == 2
    with pytest.raises(ValueError, match=r"15 videos give no cluster of 8 for each of 2 processes.*at most 7"):
        plan_of(points(15), world=2, per_rank=per_rank)


def test_fewer_videos_than_candidates() -> None:
    plan = plan_of(points(9), num_cands=64)
    assert len(plan.clusters) == 1 and len(set(plan.clusters[0])) == 8
    assert plan.statistics["hard_negatives"] == 1


def test_sizes_that_make_no_cluster() -> None:
    with pytest.raises(ValueError, match=r"num_cands is 7, and dataset.num_video_per_batch 8"):
        plan_of(points(), num_cands=7)
    with pytest.raises(ValueError, match=r"num_video_per_batch is 0; it takes 1 or more"):
        plan_of(points(), num_video_per_batch=0)


def test_which_epochs_plan() -> None:
    """Counted from 1, every epoch from `retri_epoch` on, as in the original; or, which is ours, not every one."""
    assert [epoch + 1 for epoch in range(7) if is_due(epoch, 3)] == [3, 4, 5, 6, 7]
    assert [epoch for epoch in range(7) if is_due(epoch, 1, 3)] == [0, 3, 6]
    assert [epoch + 1 for epoch in range(7) if is_due(epoch, 2, 3)] == [2, 5]
    assert all(is_due(epoch, 1) for epoch in range(3)) and not any(is_due(epoch, None) for epoch in range(3))
    with pytest.raises(ValueError, match="retri_epoch is 0; it must be 1 or more"):
        is_due(0, 0)
    with pytest.raises(ValueError, match="retri_interval is 0; it must be 1 or more"):
        is_due(0, 1, 0)


# --- plans of a model ---


def test_a_plan_of_a_model(dataset: MMDataset, model: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mmpt.retrieval"):
        plan = plan_epoch(model, dataset, seed=1, epoch=1, **SIZES)
    vectors = plain_vectors(model, dataset, 5, 1)
    assert plan.clusters == plan_clusters(vectors, seed=1, epoch=1, **SIZES).clusters
    assert len(plan.clusters) == VIDEOS // SIZE and plan.statistics["repeated_videos"] == 0
    assert caplog.messages == [f"epoch 1: {plan}"]


def test_a_video_that_is_listed_again_takes_no_part(
    dataset: MMDataset, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plainly = MetaProcessor.video_of
    monkeypatch.setattr(MetaProcessor, "video_of", lambda meta, index: plainly(meta, 2 if index == 9 else index))
    plan = plan_epoch(model, dataset, seed=1, epoch=1, **SIZES)
    videos = {video for cluster in plan.clusters for video in cluster}
    assert plan.statistics["repeated_videos"] == 1 and 9 not in videos and max(videos) > 9
    assert plan.clusters == plan_epoch(model, dataset, seed=1, epoch=1, **SIZES).clusters


def test_batches_are_the_clusters_of_the_epoch(dataset: MMDataset, model: Any) -> None:
    loader: Any = build_loader(dataset, seed=4)
    for epoch in range(2):
        plan = plan_epoch(model, dataset, seed=1, epoch=epoch, **SIZES)
        loader.batch_sampler.plan(epoch, plan.clusters)
        batches = [tuple(int(name[1:]) for name in batch["video_id"]) for batch in loader]
        assert sorted(batches) == sorted(plan.clusters)


def planned(dataset: MMDataset, model: Any, epoch: int, **more: Any) -> Plan | None:
    options = TaskConfig(task="VideoRetriTask", **{"retri_epoch": 1, "num_cands": SIZES["num_cands"], **more})
    task = build_task(LossConfig("MMContraLoss"), options, clips=dataset.aligner.clips)
    return task.plan(model, dataset, seed=1, epoch=epoch, rank=0, world=1)


def test_a_plan_embeds_what_the_original_does(dataset: MMDataset, model: Any) -> None:
    """As many clips as training draws of a video, each with the seconds in which its text is said."""
    config = dataset.meta.config
    varied = replace(dataset, aligner=VariedLenAligner(replace(config, subsampling=config.clip_per_video)))
    assert varied[0]["caps"].shape[0] == 5
    plan = planned(dataset, model, 1)
    assert plan == plan_epoch(model, varied, seed=1, epoch=1, **SIZES)
    own = planned(dataset, model, 1, retri_aligner_cls=None)
    assert own == plan_epoch(model, dataset, seed=1, epoch=1, **SIZES) != plan
    assert planned(dataset, model, 1, retri_clips=1) != plan
    with pytest.raises(ValueError, match=r"'VariedLenAlignr' \(retri_aligner_cls\).*did you mean 'VariedLenAligner'"):
        planned(dataset, model, 1, retri_aligner_cls="VariedLenAlignr")


def test_a_task_plans_from_its_epoch_on(dataset: MMDataset, model: Any) -> None:
    due = [planned(dataset, model, epoch, retri_epoch=2) is not None for epoch in range(4)]
    assert due == [False, True, True, True]
    assert planned(dataset, model, 1, retri_interval=2) is None


def test_the_papers_files_plan_as_the_original() -> None:
    task = load_config(find_project_file("retri/videoclip/how2.yaml")).task
    assert (task.retri_epoch, task.retri_interval, task.retri_clips) == (1, 1, None)
    assert task.per_rank and task.retri_aligner_cls == "VariedLenAligner"


def test_processes_need_a_group(dataset: MMDataset, model: Any) -> None:
    with pytest.raises(ValueError, match="2 processes, and no process group; start them with torchrun"):
        plan_epoch(model, dataset, seed=1, epoch=1, world=2, **SIZES)


def test_names_are_looked_up(dataset: MMDataset, model: Any) -> None:
    with pytest.raises(ValueError, match=r"'VectorRetrieve' \(retriever_cls\).*did you mean 'VectorRetriever'"):
        plan_epoch(model, dataset, seed=1, epoch=1, retriever="VectorRetrieve", **SIZES)


def _one_process(rank: int, port: int, folder: Path, bert: Path) -> None:
    planner.VIDEOS = 4  # so that both have blocks
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=PROCESSES)
    dataset, model = build_dataset(torch.load(folder / "config.pt", weights_only=False), seed=4), make_model(bert)
    sizes: dict[str, Any] = {**SIZES, "rank": rank, "world": PROCESSES, "seed": 1, "epoch": 1}
    plan = plan_epoch(model, dataset, **sizes)
    apart = plan_epoch(model, dataset, per_rank=True, **sizes)
    if rank == 1:  # what one of them finds, all are told
        with torch.no_grad():
            model.video_encoder.videomlp.linear1.bias.fill_(torch.nan)
    try:
        plan_epoch(model, dataset, **sizes)
        said = "nothing"
    except ValueError as error:
        said = str(error)
    torch.save((plan, apart, said), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_get_the_plan_of_one(dataset: MMDataset, model: Any, bert: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.save(dataset.meta.config, tmp_path / "config.pt")
    mp.spawn(_one_process, args=(port, tmp_path, bert), nprocs=PROCESSES)  # pyright: ignore
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]
    assert results[0] == results[1]
    plan, apart, said = results[0]
    alone = plan_epoch(model, dataset, seed=1, epoch=1, **SIZES)
    assert plan.clusters == alone.clusters
    assert all(len({video % 2 for video in cluster}) == 1 for cluster in apart.clusters)
    assert "NaN or infinite" in said
