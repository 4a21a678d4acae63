"""`mmpt demo`: everything runs, and it says that the weights are random."""

import os
from pathlib import Path

import pytest

from mmpt.cli.main import main


def test_it_scores_a_rendered_clip_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_HOME", "elsewhere")
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "a red ball rolls to the right" in out and "best moment" in out
    assert "weights are random" in out and "mean nothing" in out
    assert os.environ["MMPT_HOME"] == "elsewhere"
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert (tmp_path / "runs/demo/clip.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "runs/demo/runs/retri/videoclip/checkpoint_best.pt").is_file()
