"""What the ablations compare, and how their results are kept, summed up and drawn."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import BertConfig

from benchmarks.ablation_results import (
    HEADER,
    Result,
    Summary,
    markdown,
    paired_interval,
    plot,
    read_result,
    result_path,
    rows,
    signed,
    spread,
    summarise,
    write_result,
)
from benchmarks.ablations import CHANCE, CLS, EVERY_VIDEO, arms, last, overrides, sum_up, told
from benchmarks.cls_pooling import MMFusionSeparateCls
from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.models.configuration import MMPTConfig
from mmpt.models.videoclip import MMFusionSeparate
from mmpt.retrieval.planner import plan_clusters
from mmpt.training.session import settings
from mmpt.utils.registry import lookup

WORLD = {"version": 3, "seed": 0, "videos": 200, "lag": 5.0, "seen": []}
ARMS = arms(200, 300)


def result(arm: str, seed: int, r1: float) -> Result:
    return Result(
        arm,
        seed,
        {"updates": 200},
        {"R1": r1, "R5": 2 * r1, "R10": 3 * r1, "MR": 7.0},
        {"colour": 0.5, "action": r1},
        9.0,
    )


def learnt(short: str, number: int = 0) -> dict[str, Any]:
    """All that a stage of an arm is told, as its training sees it."""
    arm = ARMS[short]
    run = load_config(find_project_file(f"toy/{arm.stages[number].yaml}"), overrides(arm, number, 1, "runs/x"))
    return settings(run, items=190, world=1)


@pytest.mark.parametrize(
    ("short", "changed"),
    [
        ("strict", {"dataset.aligner": "VideoRetriAligner"}),
        ("random", {"num_cands": EVERY_VIDEO}),
        ("random-strict", {"num_cands": EVERY_VIDEO, "dataset.aligner": "VideoRetriAligner"}),
        ("cls", {"model.model_cls": "MMFusionSeparateCls"}),
        ("cls-slow", {"model.model_cls": "MMFusionSeparateCls", "fairseq.optimization.lr": (0.0005,)}),
        (
            "shared",
            {
                "model.model_cls": "MMFusionShare",
                "model.mm_encoder_cls": "MMBertForEncoder",
                "model.video_encoder_cls": None,
            },
        ),
    ],
)
def test_an_arm_changes_what_its_name_says_and_nothing_else(short: str, changed: dict[str, Any]) -> None:
    full, other = learnt("full"), learnt(short)
    assert {key: other[key] for key in other if other[key] != full[key]} == changed


def test_all_arms_learn_from_as_many_pairs() -> None:
    full, candidates = learnt("full"), learnt("milnce")
    pairs = full["dataset.num_video_per_batch"] * full["dataset.clip_per_video"]
    assert candidates["fairseq.dataset.batch_size"] == pairs == 128
    for arm in ARMS.values():
        for number, stage in enumerate(arm.stages):
            run = load_config(find_project_file(f"toy/{stage.yaml}"), overrides(arm, number, 1, "runs/x"))
            assert (run.optim.max_update, run.optim.max_epoch) == (stage.updates, None)
            assert run.loader.disable_validation
            assert run.optim.seed == 1


def test_hiding_whole_modalities_is_the_only_difference_of_two_vlms() -> None:
    with_it, without = learnt("vlm"), learnt("vlm-no-mmm")
    assert {key: without[key] for key in without if without[key] != with_it[key]} == {"dataset.mm_prob": 0}
    assert with_it["dataset.mm_prob"] == 0.5
    assert learnt("vlm", 1) == learnt("vlm-no-mmm", 1) == learnt("vlm-fresh")


def test_fine_tuning_starts_where_pre_training_ended() -> None:
    words = overrides(ARMS["vlm"], 1, 0, "runs/vlm-0")
    assert f"fairseq.checkpoint.restore_file={last('runs/vlm-0', 0)}" in words
    assert "fairseq.checkpoint.restore_file=checkpoint_last.pt" in overrides(ARMS["vlm-fresh"], 0, 0, "runs/fresh-0")


@pytest.mark.parametrize("short", ARMS)
def test_every_arm_is_measured_among_the_same_clips(short: str) -> None:
    arm = ARMS[short]
    run = load_config(find_project_file(f"toy/{arm.test}"), arm.changes)
    assert run.dataset.test_path == "data/toy/msrvtt/MSRVTT_JSFUSION_test.csv"
    assert (run.task.predictor, run.task.metric) == ("RetrievalPredictor", "RetrievalMetric")
    lookup("model", run.model.model_cls)


def test_batches_at_random_hold_videos_of_all_kinds() -> None:
    vectors = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    vectors[32:] += 100  # two kinds, far apart
    alike, drawn = (
        plan_clusters(vectors, seed=0, epoch=0, num_cands=candidates, num_video_per_batch=16).clusters
        for candidates in (32, EVERY_VIDEO)
    )
    assert all(len({video < 32 for video in cluster}) == 1 for cluster in alike)
    assert all(len({video < 32 for video in cluster}) == 2 for cluster in drawn)


def test_cls_pooling_takes_the_first_place_and_keeps_the_weights_of_two_towers() -> None:
    bert = BertConfig(vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    made = {}
    for cls in (MMFusionSeparate, MMFusionSeparateCls):
        torch.manual_seed(0)
        made[cls] = cls(MMPTConfig(bert, model_cls=cls.__name__, num_hidden_video_layers=2)).eval()
    mean, first = made.values()
    assert {name: value.shape for name, value in mean.state_dict().items()} == {
        name: value.shape for name, value in first.state_dict().items()
    }
    first.load_state_dict(mean.state_dict())
    caps = torch.tensor([[2, 3, 7, 8, 9, 3, 0, 0], [2, 3, 11, 3, 0, 0, 0, 0]])
    vfeats, vmasks = torch.randn(2, 5, 512), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]).bool()
    seen = {}
    with torch.no_grad():
        for model in (mean, first):
            hooked: list[torch.Tensor] = []
            layer = model.text_encoder.encoder.layer[-1]
            handle = layer.register_forward_hook(lambda _, __, output, kept=hooked: kept.append(output))
            seen[model] = model(caps=caps, cmasks=caps != 0, vfeats=vfeats, vmasks=vmasks)
            handle.remove()
        states = hooked[-1][0] if isinstance(hooked[-1], tuple) else hooked[-1]
    assert torch.equal(seen[first]["pooled_text"], states[:, 0])
    assert seen[first]["pooled_video"].shape == seen[mean]["pooled_video"].shape
    for name in ("pooled_text", "pooled_video"):
        assert not torch.allclose(seen[first][name], seen[mean][name], atol=1e-2)
    with torch.no_grad():
        tokens = [model.get_video_tokens(vfeats, vmasks) for model in (mean, first)]
    assert torch.equal(*tokens)


def test_cls_arm_names_the_class() -> None:
    assert CLS == ("model.model_cls=MMFusionSeparateCls",)
    assert lookup("model", "MMFusionSeparateCls") is MMFusionSeparateCls


def test_a_result_is_read_again_and_another_runs_is_refused(tmp_path: Path) -> None:
    kept = dataclasses.replace(result("full", 2, 0.3), told=told(ARMS["full"], WORLD))
    assert read_result(tmp_path, "full", 2, kept.told) is None
    write_result(tmp_path, kept)
    assert read_result(tmp_path, "full", 2, told(ARMS["full"], WORLD)) == kept
    with pytest.raises(ValueError, match=r"told other things \(stages, projects\)"):
        read_result(tmp_path, "full", 2, told(arms(100, 300)["full"], WORLD))
    with pytest.raises(ValueError, match=r"told other things \(world\)"):
        read_result(tmp_path, "full", 2, told(ARMS["full"], {**WORLD, "lag": 2.5}))
    assert read_result(tmp_path, "full", 2, kept.told) == kept  # a refusal loses nothing


def test_a_result_of_another_project_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = told(ARMS["full"], WORLD)
    write_result(tmp_path, dataclasses.replace(result("full", 0, 0.3), told=now))
    file = find_project_file("toy/videoclip/how2.yaml")
    other = tmp_path / "projects/toy/videoclip/how2.yaml"
    other.parent.mkdir(parents=True)
    other.write_text(file.read_text().replace("- 0.002", "- 0.003"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"told other things \(projects\)"):
        read_result(tmp_path, "full", 0, told(ARMS["full"], WORLD))
    before = {key: value for key, value in now.items() if key != "projects"}  # as results were kept once
    write_result(tmp_path, dataclasses.replace(result("full", 1, 0.3), told=before))
    assert read_result(tmp_path, "full", 1, told(ARMS["full"], WORLD)) is not None


def test_a_file_that_is_no_result_is_refused_by_name(tmp_path: Path) -> None:
    result_path(tmp_path, "full", 0).write_text('{"arm": "full"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"full-0\.json is no result"):
        read_result(tmp_path, "full", 0, {})


def test_seeds_are_summed_up_and_compared_one_by_one() -> None:
    full = [result("full", seed, r1) for seed, r1 in ((0, 0.30), (1, 0.40), (2, 0.35))]
    other = [result("strict", seed, r1) for seed, r1 in ((0, 0.20), (2, 0.40))]
    summary = summarise("strictly", other, full, 12.4)
    assert summary.values["R1"] == [0.20, 0.40]
    assert summary.against == pytest.approx([-0.10, 0.05])
    assert summary.shares == {"colour": 0.5, "action": pytest.approx(0.3)}
    assert summarise("full", full, full, None).against == []
    name, r1, _, _, rank, against, between, paper = rows([summary])[0]
    assert (name, r1, rank, against, paper) == ("strictly", "30.0 ± 14.1", "7.0 ± 0.0", "-10.0 +5.0", "12.4")
    assert between == "-2.5 (-97.8 to +92.8)"


def test_arms_without_results_are_left_out() -> None:
    found = {"full": [result("full", 0, 0.3)], "strict": []}
    chosen = {short: ARMS[short] for short in found}
    assert [summary.name for summary in sum_up(chosen, found)] == ["VideoCLIP, full"]


def test_numbers_are_written_briefly() -> None:
    assert spread([25.04]) == "25.0"
    assert spread([1.0, 3.0]) == "2.0 ± 1.4"
    assert signed([-1.25, 0.0]) == "-1.2 +0.0"
    assert paired_interval([1.0, 2.0, 3.0]) == "+2.0 (-0.5 to +4.5)" and paired_interval([1.0]) == ""
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert len(HEADER) == len(rows([Summary("x", {m: [1.0] for m in ("R1", "R5", "R10", "MR")}, {}, [], None)])[0])


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    full = [result("full", seed, 0.3 + seed / 50) for seed in range(3)]
    other = [result("vlm", seed, 0.1) for seed in range(3)]
    summaries = [summarise("full", full, full, 22.7), summarise("vlm", other, full, None)]
    plot(tmp_path / "a.png", summaries, CHANCE, "a title")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000
    with pytest.raises(ValueError, match="png"):
        plot(tmp_path / "a.txt", summaries, CHANCE, "a title")
