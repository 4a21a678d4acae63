"""`mmpt segment`, from labels to a timeline."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from mmpt.cli.main import main
from mmpt.cli.segment import read_labels
from mmpt.models.scorer import load
from mmpt.search.timeline import UNRELATED, label_seconds, stand_out

LABELS = ["a dog", "flip the pancake", "a cat"]


def run(capsys: pytest.CaptureFixture, model: Path, *words: str | Path) -> tuple[int, str, str]:
    code = main(["segment", *map(str, words), "--model", str(model)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_holds_the_timeline_that_the_model_gives(grid_model: Path, cooking: Path, own_place: Path, capsys):
    code, out, _ = run(capsys, grid_model, cooking, "--labels", ",".join(LABELS), "--json", "--background", "0.5")
    scorer = load(grid_model)
    scores = scorer.encode_video(cooking).tokens @ scorer.encode_text([*LABELS, *UNRELATED]).T
    curves = stand_out(scores[:, :3].numpy(), scores[:, 3:].numpy())
    parts = label_seconds(curves, 0.5, 3.0)
    result = json.loads(out)
    assert code == 0 and len(parts) > 1 and result["seconds"] == 20 and result["background"] == 0.5
    names = [None if part.label < 0 else LABELS[part.label] for part in parts]
    assert [part["label"] for part in result["parts"]] == names and None in names
    assert [part["start"] for part in result["parts"]] == [part.start for part in parts]
    assert result["parts"][-1]["end"] == 19.6
    assert np.allclose([result["curves"][label] for label in LABELS], curves.T, atol=2e-3)
    first = parts[0]
    assert result["parts"][0]["deviations"] == (
        None if first.label < 0 else pytest.approx(curves[first.start : first.end, first.label].mean(), abs=2e-3)
    )


def test_a_table_and_a_picture(grid_model: Path, cooking: Path, own_place: Path, capsys):
    words = ("--labels", "a dog,a cat", "--plot", "parts.png", "--background", "1000")
    code, out, err = run(capsys, grid_model, cooking, *words)
    assert code == 0 and "0:00–0:19" in out and "none" in out and "a dog" not in out  # noqa: RUF001 an en dash
    assert max(map(len, out.splitlines())) <= 80
    assert "drawn: parts.png" in err and imread("parts.png").shape[1] > 600


def test_without_background_every_second_has_a_label(grid_model: Path, cooking: Path, own_place: Path, capsys):
    code, out, _ = run(capsys, grid_model, cooking, "--labels", "a dog,a cat", "--background", "none", "--json")
    assert code == 0 and {part["label"] for part in json.loads(out)["parts"]} <= {"a dog", "a cat"}


def test_labels_come_from_a_list_or_a_file(own_place: Path):
    assert read_labels(" a dog ,a   cat") == ["a dog", "a cat"]
    Path("labels.txt").write_text("# animals\n- a dog, barking\n- a cat\n")
    assert read_labels("@labels.txt") == ["a dog, barking", "a cat"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--labels", "a dog,,a cat"), "in which a label is empty"),
        (("--labels", ""), "in which a label is empty"),
        (("--labels", "a dog, a dog"), "the label 'a dog' stands there twice"),
        (("--labels", "@absent.txt"), "there is no file absent.txt"),
        (("--labels", "@"), "is a folder"),
        (("--labels", "a dog", "--switch", "-1"), "--switch is -1"),
        (("--labels", "a dog", "--switch", "nan"), "--switch is nan"),
        (("--labels", "a dog", "--plot", "parts.gif"), "does not end in .png"),
    ],
)
def test_bad_input_is_told(grid_model: Path, cooking: Path, own_place: Path, capsys, words: tuple[str, ...], told: str):
    code, out, err = run(capsys, grid_model, cooking, *words)
    assert code == 2 and out == "" and told in err and list(own_place.iterdir()) == []


def test_a_background_that_is_no_number_is_told(grid_model: Path, cooking: Path, own_place: Path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(capsys, grid_model, cooking, "--labels", "a dog", "--background", "few")
    assert ended.value.code == 2 and "'few' is neither a number nor none" in capsys.readouterr().err


def test_a_video_that_is_not_there_is_told(grid_model: Path, own_place: Path, capsys):
    code, _, err = run(capsys, grid_model, "absent.mp4", "--labels", "a dog")
    assert code == 2 and "no video at absent.mp4" in err


def test_a_real_video_gets_a_timeline(real_videos: Path, grid_model: Path, own_place: Path, capsys):
    video = real_videos / "v_GGSY1Qvo990.mp4"
    code, out, _ = run(capsys, grid_model, video, "--labels", "a man lifts weights,a dog", "--json")
    parts = json.loads(out)["parts"]
    assert code == 0 and parts[0]["start"] == 0 and 17 < parts[-1]["end"] < 19
