"""What the recorded numbers do not show: several processes, nothing to predict, inputs that do not fit."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmpt.losses.base import total
from mmpt.losses.contrastive import NCE, MILNCELoss, MMContraLoss
from mmpt.losses.masked import MFMMLM, MTM, NLGLoss

PROCESSES, PAIRS, WIDTH = 2, 3, 5


def _pairs() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(PROCESSES * PAIRS, WIDTH, generator=draw), torch.randn(PROCESSES * PAIRS, WIDTH, generator=draw)


def _one_process(rank: int, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=PROCESSES)
    video, text = _pairs()
    own = slice(rank * PAIRS, (rank + 1) * PAIRS)
    video, text = video[own].requires_grad_(), text[own].requires_grad_()
    value = total(MMContraLoss(gather=True)(pooled_video=video, pooled_text=text))
    value.backward()
    whole_video, whole_text = (tensor.requires_grad_() for tensor in _pairs())
    whole = total(MMContraLoss()(pooled_video=whole_video, pooled_text=whole_text))
    whole.backward()
    assert whole_video.grad is not None and whole_text.grad is not None
    torch.testing.assert_close(value, whole)
    # every process computes the whole loss, so what flows back to a row is the sum over processes
    torch.testing.assert_close(video.grad, whole_video.grad[own] * PROCESSES)
    torch.testing.assert_close(text.grad, whole_text.grad[own] * PROCESSES)
    alone = total(MMContraLoss()(pooled_video=video, pooled_text=text))
    assert not torch.allclose(alone, value)  # the papers' form stays within a process
    dist.destroy_process_group()


def test_gathering_gives_the_loss_and_the_gradients_of_one_large_batch() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_one_process, args=(port,), nprocs=PROCESSES)  # pyright: ignore[reportPrivateImportUsage]


@pytest.mark.parametrize("loss", [MFMMLM, MTM, NLGLoss])
def test_nothing_to_predict_is_no_loss(loss: type) -> None:
    logits = torch.randn(0, 7, requires_grad=True)
    batch = {"video_logits": torch.randn(0, 8, requires_grad=True), "text_logits": logits, "logits": logits}
    value = total(loss()(**batch, text_label=torch.full((2, 4), -100)))
    value.backward()
    assert value.item() == 0


def test_inputs_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="2 words to predict and scores for 3"):
        NLGLoss()(logits=torch.zeros(3, 7), text_label=torch.tensor([[-100, 1, 2]]))
    with pytest.raises(ValueError, match=r"pooled_video is \(2, 5\) and pooled_text \(3, 5\)"):
        MMContraLoss()(pooled_video=torch.zeros(2, 5), pooled_text=torch.zeros(3, 5))
    with pytest.raises(ValueError, match="as many rows of false pairs"):
        NCE()(align_scores=torch.zeros(3, 2))


def test_mil_nce_is_the_papers_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    video, text = torch.randn(3, 4, generator=generator), torch.randn(6, 4, generator=generator)
    scores = (video @ text.T).exp()
    expected = []
    for i in range(3):
        own = [2 * i, 2 * i + 1]
        right = scores[i, own].sum()
        wrong = sum(scores[i, t] for t in range(6) if t not in own)
        wrong = wrong + sum(scores[v, t] for v in range(3) if v != i for t in own)
        expected.append(-(right / (right + wrong)).log())
    found = MILNCELoss()(pooled_video=video, pooled_text=text)["mil_nce"]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    assert MILNCELoss()(pooled_video=video[:1], pooled_text=text[:2])["mil_nce"] == 0
    with pytest.raises(ValueError, match="as many candidate texts for each video"):
        MILNCELoss()(pooled_video=video, pooled_text=text[:5])
