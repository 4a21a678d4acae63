"""What goes wrong in a training, and that nothing is lost."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mmpt.cli.main import main
from mmpt.config.training import LoggingConfig
from mmpt.training.checkpoint import STATE, Progress
from mmpt.training.damage import NonFiniteError, refuse
from mmpt.training.metrics_log import FILE, MetricsLog, read_metrics
from mmpt.training.processes import Processes
from mmpt.utils.shardedtensor import ShardedTensor, ShardWriter, read_meta, write_meta
from tests.processors.narrated import write_narrated
from tests.training.worlds import curve, make_world, narrated_yaml, start, train

OWN = "tests.training.tasks_of_ones_own"


def test_a_loss_that_is_no_number(world: Path, tmp_path: Path, capsys) -> None:
    assert train(narrated_yaml(world, tmp_path, task=f"{OWN}:Broken", fairseq__optimization__max_epoch=3)) == 2
    told = capsys.readouterr().err
    kept = next((tmp_path / "runs").glob("nonfinite_epoch*_batch*.safetensors"))
    assert f"The batch is kept in {kept}; its videos: " in told and "v3" in told and "t2v nan" in told
    with safe_open(kept, framework="np") as file:
        assert "v3" in json.loads(file.metadata()["batch"])["video_id"]
        assert file.get_tensor("vfeats").shape == (2, 3, 8, 6)
    number = int(kept.stem.rpartition("batch")[2])
    assert f"batch {number} of epoch" in told and f"at update {len(curve(tmp_path)) + 1}" in told


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_no_number(tmp_path: Path, capsys, value: float) -> None:
    make_world(tmp_path)
    shard = tmp_path / "shards" / "train_1_data.npy"
    array = np.load(shard)
    array[:] = value
    np.save(shard, array)
    for index in shard.parent.glob("train_1_index*"):  # which would tell that the shard was changed
        index.unlink()
    assert train(narrated_yaml(tmp_path, tmp_path)) == 2
    assert "the features of v3 hold NaN or infinity between second" in capsys.readouterr().err


def test_one_caption_in_a_video_is_enough(tmp_path: Path) -> None:
    make_world(tmp_path, seconds=(2, 2, 9, 12))
    assert len(ShardedTensor.load(f"{tmp_path}/shards/caption.train_0.caps_ids")[0]) == 1
    assert train(narrated_yaml(tmp_path, tmp_path)) == 0


def test_a_video_without_captions_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_world(tmp_path)
    shutil.rmtree(tmp_path / "shards")
    write_narrated(tmp_path / "shards", (5, 6, 7, 8), silent=("v1",))
    assert train(narrated_yaml(tmp_path, tmp_path, dataset__val_path=None)) == 0
    assert "v1 has no captions in shard train_0, and is left out" in caplog.text


def test_an_empty_shard_gives_nothing_and_breaks_nothing(tmp_path: Path, world: Path) -> None:
    make_world(tmp_path)
    shards = tmp_path / "shards"
    meta = read_meta(shards / "train_meta.pkl")
    for name, width in (("train_9", 6), ("caption.train_9.startends", 2)):
        with ShardWriter(f"{shards}/{name}", row_shape=(width,)):
            pass
    with ShardWriter(f"{shards}/caption.train_9.caps_ids", dtype=np.int32, row_shape=(32,)):
        pass
    write_meta(shards / "train_meta.pkl", {**meta, 9: []})
    (tmp_path / "other").mkdir()
    assert train(narrated_yaml(tmp_path, tmp_path)) == train(narrated_yaml(world, tmp_path / "other")) == 0
    assert curve(tmp_path) == curve(tmp_path / "other")


def test_a_list_that_is_empty_is_told(tmp_path: Path, capsys) -> None:
    make_world(tmp_path)
    (tmp_path / "shards" / "train.lst").write_text("")
    assert train(narrated_yaml(tmp_path, tmp_path)) == 2
    assert "train.lst" in capsys.readouterr().err


def test_too_few_videos_for_a_cluster(world: Path, tmp_path: Path, capsys) -> None:
    assert train(narrated_yaml(world, tmp_path, dataset__num_video_per_batch=32, num_cands=64)) == 2
    told = capsys.readouterr().err
    assert "11 videos give no cluster of 32" in told and "at most 11" in told


def test_a_full_disk_spares_what_was_kept(world: Path, tmp_path: Path) -> None:
    path, told = narrated_yaml(world, tmp_path, task=f"{OWN}:FullDisk"), tmp_path / "told"
    process = start(path, told, FULL=str(tmp_path / "runs" / "checkpoint1.pt"))
    process.join(60)
    assert process.exitcode == 2, told.read_text()
    assert (
        "mmpt: error: no room for " in told.read_text() and "the checkpoint before it is untouched" in told.read_text()
    )
    names = {found.name for found in (tmp_path / "runs").iterdir() if found.is_file()}
    assert names == {"checkpoint1.pt", "checkpoint_best.pt", "checkpoint_last.pt", STATE, FILE}
    process = start(path, told, FULL="/nowhere")
    process.join(60)
    assert process.exitcode == 0 and [line["update"] for line in curve(tmp_path)] == list(range(1, 11))


def test_too_little_memory_comes_with_advice(world: Path, tmp_path: Path, capsys) -> None:
    path = narrated_yaml(world, tmp_path, task=f"{OWN}:TooLarge", dataset__num_video_per_batch=None)
    assert train(path, "fairseq.dataset.batch_size=6") == 2
    told = capsys.readouterr().err
    assert "the memory does not suffice; what helps:" in told and "fairseq.dataset.batch_size" in told
    assert "gradient_checkpointing=true" in told and "bf16=true" in told


def test_too_little_memory_without_a_word(world: Path, tmp_path: Path, capsys) -> None:
    path = narrated_yaml(world, tmp_path, task=f"{OWN}:Wordless", dataset__num_video_per_batch=None)
    assert train(path, "fairseq.dataset.batch_size=6") == 2
    told = capsys.readouterr().err
    assert "mmpt: error: MemoryError\n" in told and "the memory does not suffice; what helps:" in told


def test_a_bad_batch_that_cannot_be_kept_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    batch = {"vfeats": torch.tensor([[float("nan")]]), "video_id": ["v3"]}
    seen = [(7, batch, {"t2v": torch.tensor(float("nan"))})]
    with pytest.raises(NonFiniteError, match=r"could not be kept in .*; its videos: v3\. vfeats holds NaN"):
        refuse(Processes("cpu"), tmp_path / "file" / "runs", seen, progress=Progress(), norm=1.0)


def test_validations_that_are_no_numbers_are_drawn_around(tmp_path: Path) -> None:
    lines = [{"kind": "update", "update": 1, "loss": 2.0, "lr": 0.1, "grad_norm": 1.0, "pairs_per_second": 3.0}]
    lines += [{"kind": "valid", "update": 1, "loss": float("nan")}]
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["plot", str(tmp_path)]) == 0 and (tmp_path / "curves.png").stat().st_size > 1000


def test_the_log_is_json_also_where_a_loss_is_no_number(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, LoggingConfig(), {})
    log.write({"kind": "valid", "update": 3, "epoch": 1, "loss": float("nan"), "t2v": float("inf"), "v2t": 1.5})
    log.close()
    line = '{"kind": "valid", "update": 3, "epoch": 1, "loss": null, "t2v": null, "v2t": 1.5}\n'
    assert (tmp_path / FILE).read_text() == line
    (found,) = read_metrics(tmp_path)
    assert np.isnan(found["loss"]) and found["v2t"] == 1.5
    MetricsLog(tmp_path, LoggingConfig(), {}).rewind(3, epoch=1, batch=0)
    assert (tmp_path / FILE).read_text() == line


def test_weights_without_a_state_are_not_overwritten(world: Path, tmp_path: Path, capsys) -> None:
    path = narrated_yaml(world, tmp_path, fairseq__optimization__max_update=1)
    assert train(path) == 0
    (tmp_path / "runs" / STATE).unlink()
    before = (tmp_path / "runs" / "checkpoint_last.pt").read_bytes()
    assert train(path) == 2
    assert f"no {STATE} lies beside it" in capsys.readouterr().err
    assert (tmp_path / "runs" / "checkpoint_last.pt").read_bytes() == before
    assert train(path, "--restart") == 0


def test_a_line_cut_off_by_a_crash_is_forgotten(world: Path, tmp_path: Path) -> None:
    path = narrated_yaml(world, tmp_path, fairseq__optimization__max_update=3)
    assert train(path) == 0
    log = tmp_path / "runs" / FILE
    log.write_text(log.read_text() + '{"kind": "upd')
    assert len(curve_of(log)) == 3
    log.write_text("no json\n" + log.read_text())
    with pytest.raises(ValueError, match="line 1 is no line of a training's log"):
        read_metrics(log)


def curve_of(log: Path) -> list[dict]:
    return [line for line in read_metrics(log) if line["kind"] == "update"]
