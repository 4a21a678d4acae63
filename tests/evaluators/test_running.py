"""Whole evaluations: what goes on after a stop, what is asked anew, and what is refused before anything runs."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.evaluators import predicting
from mmpt.evaluators.cards import read_card
from tests.evaluators import worlds
from tests.evaluators.worlds import RETRIEVAL
from tests.processes import start_mmpt

OUT = Path("runs/retri/videoclip/vtt_zs/eval")
SLOW = "predictor=tests.evaluators.slow:SlowRetrieval"
COIN = "projects/retri/videoclip/test_coin_zs.yaml"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return worlds.make_world(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The items that the model is asked about."""
    listed: list[int] = []
    plain = predicting._ask

    def noted(model, dataset, predictor, indices):
        listed.extend(indices)
        return plain(model, dataset, predictor, indices)

    monkeypatch.setattr(predicting, "_ask", noted)
    return listed


def results(folder: Path = OUT) -> dict[str, float]:
    return {name: told["value"] for name, told in read_card(folder).results["fixed"].items()}


def test_an_evaluation_goes_on_after_a_kill(world: Path, asked: list[int]) -> None:
    worlds.make_msrvtt()
    with start_mmpt("evaluate", RETRIEVAL, SLOW, cwd=world) as process:
        until = time.monotonic() + 60
        while len(list(OUT.glob("predictions/*/part_*.npz"))) < 2:
            assert process.poll() is None and time.monotonic() < until, process.communicate()[0]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (OUT / "card.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in OUT.glob("predictions/*/part_*.npz")}
    done = sorted(number for path in kept for number in range(int(path.stem[5:13]), int(path.stem[5:13]) + 2))
    assert main(["evaluate", RETRIEVAL, SLOW]) == 0
    assert sorted(done + asked) == list(range(12)) and 0 < len(asked) < 12
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    found = results()
    assert main(["evaluate", RETRIEVAL, SLOW, "-o", "elsewhere"]) == 0  # from the beginning
    assert len(asked) == 12 + 12 - len(done) and results(Path("elsewhere")) == found


def _other_weights() -> None:
    worlds.make_checkpoint(RETRIEVAL, seed=1)


def _other_features() -> None:
    np.save("data/feat/feat_vtt_s3d/video3.npy", np.load("data/feat/feat_vtt_s3d/video3.npy")[::-1])


def _other_texts() -> None:
    path = Path("data/msrvtt/MSRVTT_JSFUSION_test.csv")
    path.write_text(path.read_text().replace("a dog runs w0", "a dog runs w1"))


def _other_vocabulary() -> None:
    path = worlds.BERT / "vocab.txt"
    path.write_text(path.read_text().replace("dog", "cat"))


def _other_heads() -> None:
    path = worlds.BERT / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_attention_heads": 4}))


CHANGES = [_other_weights, _other_features, _other_texts, _other_vocabulary, _other_heads]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_answers_depend_on_is_asked_anew(world: Path, asked: list[int], change) -> None:
    worlds.make_msrvtt()
    assert main(["evaluate", RETRIEVAL]) == 0 and len(asked) == 12
    before = read_card(OUT).hashes
    change()
    assert main(["evaluate", RETRIEVAL]) == 0
    assert len(asked) == 24
    assert (read_card(OUT).hashes != before) or change is _other_heads


def test_nothing_is_asked_twice(world: Path, asked: list[int]) -> None:
    worlds.make_msrvtt()
    assert main(["evaluate", RETRIEVAL]) == 0 and len(asked) == 12
    first = read_card(OUT)
    assert main(["evaluate", RETRIEVAL, "protocol=paper"]) == 0  # which answers do not depend on
    assert len(asked) == 12 and read_card(OUT).results == first.results
    (part,) = OUT.glob("predictions/*/part_*.npz")
    part.write_bytes(part.read_bytes()[:-100])
    assert main(["evaluate", RETRIEVAL]) == 0 and len(asked) == 24
    assert read_card(OUT).results == first.results


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message of an evaluation that does not start."""
    assert main(["evaluate", *words]) == 2
    assert not list(Path().rglob("predictions")) and not list(Path().rglob("card.json"))
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 256), np.float16), "video11.npy has 256 columns, and the model takes 512"),
        (np.zeros(512, np.float16), "holds float16 of shape (512,)"),
    ],
)
def test_features_of_the_last_video_do_not_fit(
    world: Path, capsys: pytest.CaptureFixture[str], array: np.ndarray, message: str
) -> None:
    worlds.make_msrvtt()
    np.save("data/feat/feat_vtt_s3d/video11.npy", array)
    told = refused(capsys, RETRIEVAL)
    assert message in told and "1 feature files" in told


def test_broken_and_foreign_features(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    path = Path("data/feat/feat_vtt_s3d/video7.npy")
    path.write_bytes(path.read_bytes()[:200])
    assert "video7.npy is not a whole feature file" in refused(capsys, RETRIEVAL)
    told = refused(capsys, RETRIEVAL, "dataset.l2_normalize=false")
    assert "12 feature files" in told and "and 7 more" in told


def test_a_model_of_another_width(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    worlds.make_features("data/feat/feat_vtt_s3d", (f"video{n}" for n in range(12)), width=64)
    assert "12 feature files" in (told := refused(capsys, RETRIEVAL)) and "64 columns" in told
    assert "videomlp.linear1" in refused(capsys, RETRIEVAL, "model.video_dim=64")  # the weights are of 512


@pytest.mark.parametrize("yaml", ["test_vtt", "test_vttqa"])
def test_a_model_that_mixes_video_and_text(world: Path, capsys: pytest.CaptureFixture[str], yaml: str) -> None:
    """A video's vector would know the text that it is compared with."""
    worlds.make_msrvtt()
    worlds.make_qa()
    path = f"projects/mtm/vlm/{yaml}.yaml"
    worlds.make_checkpoint(path)
    assert "mixes video and text" in refused(capsys, path, "dataset.num_iso_layer=null")
    assert main(["evaluate", path]) == 0


@pytest.mark.parametrize("yaml", ["test_didemo_zs", "test_coin_zs", "test_hmdb51_zs", "test_didemo_retrieval_zs"])
def test_so_it_is_for_other_tasks(world: Path, capsys: pytest.CaptureFixture[str], yaml: str) -> None:
    worlds.make_coin()
    worlds.make_didemo()
    worlds.make_hmdb51()
    path = f"projects/retri/videoclip/{yaml}.yaml"
    mixing = ("model.model_cls=MMFusionJoint", "model.mm_encoder_cls=MMBertForJoint", "dataset.num_iso_layer=null")
    worlds.make_checkpoint(path, *mixing)
    assert "mixes video and text" in refused(capsys, path, *mixing)


def test_a_vocabulary_that_the_model_does_not_have(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    with (worlds.BERT / "vocab.txt").open("a") as file:
        file.write("more\nwords\n")
    assert "has 122 words, and the model has 120" in refused(capsys, RETRIEVAL)


def test_labels_that_the_model_does_not_have(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_coin()
    path = "projects/retri/videoclip/test_coin_videoclip.yaml"
    worlds.make_checkpoint(path, "model.num_labels=4")
    told = refused(capsys, path, "model.num_labels=4")
    assert "the data has the label 4, and the model labels 0 to 3" in told
    assert "is (4, 32), not (779, 32)" in refused(capsys, path)  # the file says 779, the weights have 4
    worlds.make_checkpoint(path, "model.num_labels=5")
    assert main(["evaluate", path, "model.num_labels=5"]) == 0


def test_a_model_without_labels_or_steps(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_coin()
    worlds.make_checkpoint(COIN)
    assert "MMFusionSeparate has no labels" in refused(capsys, COIN, "predictor=COINPredictor")
    told = refused(capsys, COIN, "predictor=CrossTaskPredictor", "metric=CrossTaskMetric")
    assert "does not score seconds against steps" in told


def test_a_data_set_of_another_task(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    for predictor, message in {
        "COINZSPredictor": "gives no labels in words",
        "DiDeMoPredictor": "the data set has no moments",
        "ActionRecognitionPredictor": "does not list actions",
    }.items():
        assert message in refused(capsys, RETRIEVAL, f"predictor={predictor}")


def test_annotations_without_features(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    for path in Path("data/feat/feat_vtt_s3d").iterdir():
        path.unlink()
    assert "12 videos have no features in data/feat/feat_vtt_s3d" in refused(capsys, RETRIEVAL)
    Path("data/feat/feat_vtt_s3d").rmdir()
    assert "dataset.vfeat_dir is data/feat/feat_vtt_s3d, and nothing is at" in refused(capsys, RETRIEVAL)


def test_videos_that_are_missing_are_on_the_card(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    Path("data/feat/feat_vtt_s3d/video5.npy").unlink()
    assert main(["evaluate", RETRIEVAL]) == 0
    card = read_card(OUT)
    assert card.protocol["missing"] == ["video5"] and card.protocol["items"] == 11
    assert card.baselines["chance"]["R1"] == pytest.approx(1 / 11)
    assert "1 videos missing" in (told := capsys.readouterr().out) and "cannot be compared" in told


def test_files_that_name_too_little(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    assert "predictor: missing" in refused(capsys, RETRIEVAL, "predictor=null")
    assert "metric 'RetrievalMetrik'" in refused(capsys, RETRIEVAL, "metric=RetrievalMetrik")
    assert "set eval.save_path, or give --out FOLDER" in refused(capsys, RETRIEVAL, "eval.save_path=null")
    assert "set fairseq.common_eval.path" in refused(capsys, RETRIEVAL, "fairseq.common_eval.path=null")
    assert "and RetrievalPredictor takes none" in refused(capsys, RETRIEVAL, "gen_param={num_beams: 2}")
    assert "device is 'warp'" in refused(capsys, RETRIEVAL, "--device", "warp")
    Path("runs/retri/videoclip/checkpoint_best.pt").unlink()
    told = refused(capsys, RETRIEVAL)
    assert "fairseq.common_eval.path is runs/retri/videoclip/checkpoint_best.pt, and nothing is at" in told
