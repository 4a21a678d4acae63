"""`mmpt train` and `mmpt plot`, from one's own videos to a score and a picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.models.original import read_original
from mmpt.training.metrics_log import read_metrics
from mmpt.video.writer import write_video
from tests.homes import TINY, make_bert

SENTENCES = ("a woman flips the pancake", "the pancake and water", "two boys arm wrestle", "some water into the pot")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered videos with subtitles, made ready by `mmpt prepare`."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "videos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        frames = [np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8) for _ in range(60)]
        write_video(folder / "videos" / f"clip{number}.mp4", iter(frames), fps=10)
        cues = (
            f"{cue}\n00:00:0{cue},000 --> 00:00:0{cue + 1},500\n{SENTENCES[(cue + number) % 4]}\n" for cue in range(4)
        )
        (folder / "videos" / f"clip{number}.srt").write_text("\n".join(cues))
    make_bert(folder / "bert", TINY, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--backbone", "grid", "--bert-name", "bert", "--val-part", "0.45", "-o", "data/mine"]
        assert main(["prepare", "videos", *words]) == 0
    return folder


SMALL = (
    *("dataset.num_video_per_batch=2", "dataset.clip_per_video=2", "num_cands=3", "fairseq.dataset.num_workers=1"),
    *("fairseq.optimization.max_epoch=2", "fairseq.optimization.warmup_updates=0", "model.num_hidden_video_layers=2"),
)


def test_ones_own_videos_train_a_model_that_scores_them(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.chdir(prepared)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path))
    assert main(["train", "data/mine/videoclip.yaml", "--device", "cpu", *SMALL]) == 2
    assert "--from-scratch starts from random weights" in capsys.readouterr().err
    assert main(["train", "data/mine/videoclip.yaml", "--device", "cpu", "--from-scratch", *SMALL]) == 0
    told = capsys.readouterr()
    assert "starting from random weights" in told.out and "million parameters" in told.out
    assert "hard" in told.out and "done: 2 epochs" in told.out and not told.err
    assert {line["kind"] for line in read_metrics(prepared / "runs" / "mine")} == {"plan", "update", "epoch", "valid"}
    assert main(["plot", "runs/mine"]) == 0
    assert (prepared / "runs" / "mine" / "curves.png").stat().st_size > 10_000
    words = ["videos/clip0.mp4", SENTENCES[0], "--model", "data/mine/videoclip.yaml", "--json"]
    shapes = [word for word in SMALL if word.startswith("model.")]  # which scoring reads from the file
    path = prepared / "data" / "mine" / "videoclip.yaml"
    text = path.read_text()
    path.write_text(f"{text}model:\n  {shapes[0].removeprefix('model.').replace('=', ': ')}\n")
    capsys.readouterr()
    assert main(["score", *words]) == 0
    assert SENTENCES[0] in capsys.readouterr().out
    path.write_text(text)
    assert read_original(prepared / "runs" / "mine" / "checkpoint_best.pt").info["num_updates"] >= 1


def test_check_writes_nothing(prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(prepared)
    words = ["fairseq.checkpoint.save_dir=runs/checked", "eval.save_path=runs/checked", "--check"]
    assert main(["train", "data/mine/videoclip.yaml", *words, *SMALL]) == 0
    assert "first batch of train" in capsys.readouterr().out
    assert not (prepared / "runs" / "checked").exists()


def test_there_is_no_gpu(prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import torch

    if torch.accelerator.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.chdir(prepared)
    assert main(["train", "data/mine/videoclip.yaml", "--device", "gpu"]) == 2
    assert "PyTorch finds no GPU on this machine" in capsys.readouterr().err


def test_nothing_to_plot(tmp_path: Path, capsys) -> None:
    assert main(["plot", str(tmp_path)]) == 2
    assert f"{tmp_path}: no metrics.jsonl with an update in it" in capsys.readouterr().err


def test_several_runs_in_one_picture(tmp_path: Path) -> None:
    for name, shift in (("a", 0.0), ("b", 0.5)):
        (tmp_path / name).mkdir()
        lines = [
            {"kind": "update", "update": n, "epoch": 1, "loss": 3 / n + shift, "lr": 0.1, "grad_norm": 1.0}
            for n in range(1, 500)
        ]
        lines.append({"kind": "valid", "update": 499, "epoch": 1, "loss": 0.2 + shift})
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    target = tmp_path / "both.png"
    assert main(["plot", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(target)]) == 0
    assert target.stat().st_size > 10_000
