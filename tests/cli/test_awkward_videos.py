"""Videos that are made oddly, through the command line: read where they can be, told by name where not."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.utils.featurefile import read_features
from tests.video.rendering import Track, moving, render, shades


def run(capsys: pytest.CaptureFixture, *words: str | Path) -> tuple[int, dict, str]:
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, json.loads(captured.out), captured.err


def test_extract_reads_what_is_only_odd_and_names_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    late = [3 + k / 25 for k in range(50)]
    render(videos / "late.mkv", Track(moving(50), times=late, options={"bf": "0"}))
    render(videos / "sparse.mp4", Track(shades([20, 60, 100]), times=[0, 6.3, 20], options={"bf": "3", "b-adapt": "0"}))
    (videos / "list.mp4").write_text("ffconcat version 1.0\nfile list.mp4\n")
    render(videos / "locked.mp4", Track(moving(10)), audio=None, audio_seconds=1, encryption_scheme="cenc-aes-ctr",
           encryption_key="76" * 16, encryption_kid="a7" * 16)  # fmt: skip
    code, summary, err = run(capsys, "extract", videos, "-o", tmp_path / "feats", "--backbone", "grid", "--strict")
    assert (code, summary["done"]) == (1, 2)
    rows = {path.stem: len(np.load(path)) for path in (tmp_path / "feats").glob("*.npy")}
    assert rows == {"late": 2, "sparse": 21}
    assert "list.mp4 is a playlist, not a video" in err and "locked.mp4 is encrypted" in err


def test_max_gap_is_raised_and_the_video_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = render(tmp_path / "gap.mkv", Track(shades([20, 60, 100]), times=[0, 1, 4_000.5], options={"bf": "0"}))
    command = ("extract", path, "-o", tmp_path / "feats", "--backbone", "grid")
    code, summary, err = run(capsys, *command)
    assert (code, summary["done"]) == (0, 1) and "--max-gap or MMPT_MAX_GAP raises that" in err
    features = tmp_path / "feats" / "gap.npy"
    assert len(read_features(features).array) == 2
    assert run(capsys, *command)[1]["skipped"] == 1
    code, summary, err = run(capsys, *command, "--max-gap", "5000")
    assert (code, summary["done"], err) == (0, 1, "")
    found = read_features(features)
    assert len(found.array) == 4_001 and not found.about["damage"]
    assert run(capsys, *command, "--max-gap", "5000")[1]["skipped"] == 1
    with pytest.raises(SystemExit):
        main([*map(str, command), "--max-gap", "0"])
    assert "argument --max-gap: 0 is not a number of seconds above 0" in capsys.readouterr().err
