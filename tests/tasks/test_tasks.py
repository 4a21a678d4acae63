"""Tasks: which rows a batch becomes, and what is refused."""

import pytest
import torch

from mmpt.config.schema import LossConfig, TaskConfig
from mmpt.tasks.base import Task, build_loss, build_task
from mmpt.tasks.contrastive import VideoRetriTask
from mmpt.tasks.masked import VLMTask
from mmpt.utils.registry import names


def batch(videos: int, clips: int) -> dict:
    caps = torch.arange(videos * clips * 4).reshape(videos, clips, 4)
    return {
        "caps": caps,
        "vmasks": caps > 0,
        "video_id": [f"v{n}" for n in range(videos)],
        "index": torch.arange(videos),
    }


def rows(task: Task, videos: int, clips: int) -> torch.Tensor:
    return task.rows(batch(videos, clips))["caps"][:, 0] // 4


def test_the_names_that_files_say() -> None:
    assert {"Task", "VLMTask", "VideoRetriTask"} <= set(names("task"))


def test_clips_become_rows() -> None:
    loss = LossConfig("MMContraLoss")
    task = build_task(loss, TaskConfig(), clips=3)
    assert type(task) is Task and rows(task, 2, 3).tolist() == [0, 1, 2, 3, 4, 5]
    vlm = build_task(loss, TaskConfig(task="VLMTask"), clips=4)
    assert type(vlm) is VLMTask and rows(vlm, 2, 4).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    for clips in (1, 3):
        retri = build_task(loss, TaskConfig(task="VideoRetriTask"), clips=clips)
        assert type(retri) is VideoRetriTask and rows(retri, 2, clips).tolist() == list(range(2 * clips))
    assert retri.rows(batch(2, 3))["index"].tolist() == [0, 1], "what belongs to a video stays"


def test_what_is_not_nested_stays() -> None:
    """CrossTask's texts have a dimension of their own, which is none of clips."""
    task = build_task(LossConfig("BCE"), TaskConfig(), clips=1)
    assert task.rows(batch(1, 5))["caps"].shape == (1, 5, 4)


def test_losses_take_exact_numbers() -> None:
    seen = {}

    class Half(torch.nn.Module):
        def forward(self, **_: object) -> dict[str, torch.Tensor]:
            return {"pooled_video": torch.ones(2, 3).bfloat16(), "pooled_text": torch.ones(2, 3).bfloat16()}

    class Spying(torch.nn.Module):
        def forward(self, **given: object) -> dict[str, torch.Tensor]:
            seen.update(given)
            assert not torch.is_autocast_enabled("cpu")
            return {"loss": torch.zeros(())}

    task = Task(Spying())  # pyright: ignore[reportArgumentType]
    with torch.autocast("cpu", torch.bfloat16):
        task.training_step(Half(), batch(2, 1) | {"caps": torch.ones(2, 4)})
    assert seen["pooled_video"].dtype == torch.float32 and seen["video_id"] == ["v0", "v1"]


def test_gathering_is_for_contrasts_and_not_for_validation() -> None:
    task = Task(build_loss(LossConfig("T2VContraLoss", gather=True)))
    assert task.loss.gather is True
    with task.alone():
        assert task.loss.gather is False
    assert task.loss.gather is True
    with pytest.raises(ValueError, match=r"loss\.gather is true, and NLGLoss contrasts nothing"):
        build_loss(LossConfig("NLGLoss", gather=True))


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'VideoRetriTask'"):
        build_task(LossConfig("BCE"), TaskConfig(task="VideoRetrTask"), clips=1)
    with pytest.raises(ValueError, match="is not registered"):
        build_loss(LossConfig("MMContrastLos"))
