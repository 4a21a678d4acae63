"""Many videos into one folder: what is skipped, redone, refused and written down, in one process and in several."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.utils.failures import FAILURES
from mmpt.utils.featurefile import read_about, read_features, write_features
from mmpt.video import extractor as extractor_module
from mmpt.video import jobs as jobs_module
from mmpt.video.claims import Claims
from mmpt.video.failures import SharedFailures
from mmpt.video.features import extract
from mmpt.video.jobs import Board, Event, OutputError, Plan, Video, in_shard, name_videos
from mmpt.video.runners import extract_all
from tests.video.backbones import DEADLY, FPS, Colours
from tests.video.rendering import lossless, moving, render, shades
from tests.video.test_claims import left_behind

HERE = "tests.video.backbones"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    """Four of one to three and a half seconds."""
    (tmp_path / "videos").mkdir()
    made = []
    for index, seconds in enumerate((1, 2, 3.5, 1)):
        path = tmp_path / "videos" / f"v{index}.mkv"
        made.append(Video(f"v{index}", render(path, lossless(shades([40 + index] * int(seconds * FPS)), FPS))))
    return made


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(out=tmp_path / "feats", backbone=f"{HERE}:Colours")


def run(videos: list[Video], plan: Plan, **more) -> dict[str, str]:
    """What became of each video, and that nothing is left lying about."""
    told: list[Event] = []
    extract_all(videos, plan, told.append, **more)
    names = sorted(path.name for path in plan.out.iterdir())
    assert [name for name in names if not name.endswith(".npy")] in ([], [FAILURES])
    return {event.video.id: event.kind for event in told if event.kind not in ("begin", "progress", "busy")}


def failures(plan: Plan) -> dict[str, str]:
    lines = (plan.out / FAILURES).read_text().splitlines()
    return {entry["video"]: entry["reason"] for entry in map(json.loads, lines)}


def all_are(kind: str, videos: list[Video]) -> dict[str, str]:
    return dict.fromkeys([video.id for video in videos], kind)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_files_hold_what_scoring_uses(videos: list[Video], plan: Plan, batch: int) -> None:
    plan = replace(plan, options={"batch_seconds": batch})
    assert run(videos, plan) == all_are("done", videos)
    for video in videos:
        features = extract(video.path, Colours())
        found = read_features(plan.out / f"{video.id}.npy")
        assert found.array.dtype == np.float16
        assert np.array_equal(found.array, features.array.astype(np.float16))
        assert np.array_equal(np.load(plan.out / f"{video.id}.npy"), found.array)
        told = {key: value for key, value in found.about.items() if key not in ("format", "crc32")}
        assert told == {
            "backbone": "colours",
            "version": "1",
            "precision": "fp32",
            "l2_normalized": True,
            "fps": FPS,
            "source": features.source,
            "file": f"{video.id}.mkv",
            "damage": [],
        }


def test_lengths_are_kept_on_request(videos: list[Video], plan: Plan) -> None:
    run(videos[:1], replace(plan, l2_normalize=False))
    found = read_features(plan.out / "v0.npy")
    assert found.about["l2_normalized"] is False
    np.testing.assert_allclose(found.array, [[40, 40, 40, 40]], atol=1)


def test_what_is_done_is_skipped_without_a_claim(videos: list[Video], plan: Plan, monkeypatch) -> None:
    run(videos, plan)
    monkeypatch.setattr(Colours, "__call__", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(extractor_module, "Claims", lambda folder: NoClaims(folder))
    assert run(videos, plan) == all_are("skipped", videos)


class NoClaims(Claims):
    def take(self, name: str):
        pytest.fail(f"claimed {name}")


@pytest.mark.parametrize(
    "other",
    [{"options": {"version": "2"}}, {"l2_normalize": False, "overwrite": True}, {"overwrite": True}],
    ids=["version", "lengths", "overwrite"],
)
def test_stale_features_are_done_again(videos: list[Video], plan: Plan, other: dict) -> None:
    run(videos, plan)
    plan = replace(plan, **other)
    assert run(videos, plan) == all_are("done", videos)
    about = read_about(plan.out / "v0.npy")
    assert about["version"] == plan.options.get("version", "1") and about["l2_normalized"] == plan.l2_normalize


@pytest.mark.parametrize("other", ["backbone", "lengths", "precision"])
def test_features_of_another_kind_are_nobodys_to_replace(
    videos: list[Video], plan: Plan, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(videos[:1], plan)
    before = (plan.out / "v0.npy").read_bytes()
    if other == "lengths":
        plan = replace(plan, l2_normalize=False)
    else:
        monkeypatch.setattr(Colours, "name" if other == "backbone" else "precision", "bf16")
    assert run(videos[:2], plan) == {"v0": "failed", "v1": "done"}
    assert "of another kind (colours, fp32, unit length)" in failures(plan)["v0"]
    assert "--overwrite" in failures(plan)["v0"] and (plan.out / "v0.npy").read_bytes() == before
    assert run(videos[:1], replace(plan, overwrite=True)) == {"v0": "done"}
    assert not (plan.out / FAILURES).exists()


def test_what_is_replaced_is_told(videos: list[Video], plan: Plan) -> None:
    def told(video: Video, **more) -> str:
        events: list[Event] = []
        extract_all([video], replace(plan, **more), events.append)
        assert events[-1].kind == "done"
        return events[-1].replaced

    assert told(videos[0]) == ""
    assert told(videos[0], options={"version": "2"}) == "another version of the backbone"
    other = Video("v0", videos[1].path)  # of another folder, in another command
    assert told(other, options={"version": "2"}) == "another video, v0.mkv"
    render(videos[1].path, lossless(shades([90] * FPS), FPS))
    assert told(other, options={"version": "2"}) == "v1.mkv with other content"
    assert told(videos[0], overwrite=True) == ""


def test_changed_videos_and_harmed_files_are_done_again(videos: list[Video], plan: Plan) -> None:
    run(videos, plan)
    whole = {video.id: (plan.out / f"{video.id}.npy").read_bytes() for video in videos}
    (plan.out / "v0.npy").write_bytes(whole["v0"][:-3])
    (plan.out / "v1.npy").write_bytes(whole["v1"][:130])
    (plan.out / "v2.npy").write_bytes(b"")
    render(videos[3].path, lossless(shades([90] * FPS), FPS))
    assert run(videos, plan) == all_are("done", videos)
    for name in ("v0", "v1", "v2"):
        assert (plan.out / f"{name}.npy").read_bytes() == whole[name]
    assert (plan.out / "v3.npy").read_bytes() != whole["v3"]


def test_published_files_are_nobodys_to_replace(videos: list[Video], plan: Plan) -> None:
    plan.out.mkdir()
    np.save(plan.out / "v0.npy", np.ones((3, 4), np.float16))
    before = (plan.out / "v0.npy").read_bytes()
    assert run(videos[:2], plan) == {"v0": "failed", "v1": "done"}
    assert "taken for a published one" in failures(plan)["v0"]
    assert (plan.out / "v0.npy").read_bytes() == before
    assert run(videos[:1], replace(plan, overwrite=True)) == {"v0": "done"}


def test_published_files_do_for_s3d(videos: list[Video], plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Colours, "name", "s3d")
    plan.out.mkdir()
    np.save(plan.out / "v0.npy", np.ones((3, 4), np.float16))
    assert run(videos[:1], plan) == {"v0": "kept"}


# --- failures ---------------------------------------------------------------------------------------------------------


def test_broken_videos_are_written_down_and_disappear_when_mended(videos: list[Video], plan: Plan) -> None:
    good = videos[1].path.read_bytes()
    videos[0].path.write_text("not a video")
    videos[1].path.write_bytes(good[: len(good) // 20])
    videos[2].path.unlink()
    assert run(videos, plan) == {"v0": "failed", "v1": "failed", "v2": "failed", "v3": "done"}
    assert {
        name: words in reason
        for (name, reason), words in zip(
            sorted(failures(plan).items()), ("not a video", "v1.mkv", "no video at"), strict=True
        )
    } == {"v0": True, "v1": True, "v2": True}
    entry = json.loads((plan.out / FAILURES).read_text().splitlines()[0])
    assert entry["path"] == str(videos[0].path) and entry["time"].startswith("20")
    videos[1].path.write_bytes(good)
    assert run(videos[1:2], plan) == {"v1": "done"}
    assert sorted(failures(plan)) == ["v0", "v2"]  # what this run was not about stays
    render(videos[0].path, lossless(shades([90] * FPS), FPS))
    videos[2].path.write_bytes(good)
    run(videos, plan)
    assert not (plan.out / FAILURES).exists()


def test_damaged_videos_keep_what_can_be_read(tmp_path: Path, plan: Plan) -> None:
    path = render(tmp_path / "damaged.mkv", lossless(moving(6 * FPS), FPS))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    (video,) = name_videos([path])
    told: list[Event] = []
    extract_all([video], plan, told.append)
    assert told[-1].kind == "done" and str(path) in told[-1].damage[0]
    (damage,) = read_about(plan.out / "damaged.npy")["damage"]
    assert damage.startswith("damaged.mkv is")  # without the folder, which is another one elsewhere
    assert run([video], plan) == {"damaged": "skipped"}
    assert run([video], replace(plan, strict=True)) == {"damaged": "failed"}
    assert "strict" in failures(plan)["damaged"] and (plan.out / "damaged.npy").exists()


def test_infinity_is_a_failure(videos: list[Video], plan: Plan) -> None:
    plan = replace(plan, backbone=f"{HERE}:NotANumber", l2_normalize=False)
    assert run(videos[:1], plan) == {"v0": "failed"}
    assert "NaN or infinity" in failures(plan)["v0"] and not (plan.out / "v0.npy").exists()


def test_a_video_that_changes_while_it_is_read(videos: list[Video], plan: Plan, monkeypatch) -> None:
    compute = Colours.__call__

    def grow(self, frames):
        with videos[0].path.open("ab") as file:
            file.write(b"more")
        return compute(self, frames)

    monkeypatch.setattr(Colours, "__call__", grow)
    assert run(videos[:1], plan) == {"v0": "failed"}
    assert "was changed while it was read" in failures(plan)["v0"] and not (plan.out / "v0.npy").exists()


def test_a_full_disk_stops_all_and_leaves_nothing_half_written(videos: list[Video], plan: Plan, monkeypatch) -> None:
    run(videos[:1], plan)
    save = np.save

    def full(file, array, **more):
        save(file, array[:1], **more)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mmpt.utils.featurefile.np.save", full)
    with pytest.raises(OutputError, match=r"no space is left for features in .*feats .*same command again"):
        run(videos, plan)
    assert sorted(path.name for path in plan.out.iterdir()) == ["v0.npy"]
    monkeypatch.setattr("mmpt.utils.featurefile.np.save", save)
    assert run(videos, plan) == {**all_are("done", videos), "v0": "skipped"}


def test_a_folder_that_cannot_be_written(videos: list[Video], plan: Plan) -> None:
    plan.out.write_text("a file")
    with pytest.raises(OutputError, match=r"cannot be written to .*feats"):
        extract_all(videos, plan, lambda event: None)


def test_missing_weights_are_told_before_any_work(videos: list[Video], plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, backbone="s3d", options={"weights": tmp_path / "absent.pth"})
    with pytest.raises(FileNotFoundError, match=r"no S3D weights at .*mmpt download s3d"):
        extract_all(videos, plan, lambda event: pytest.fail("began"))
    assert not plan.out.exists()


def test_lines_of_other_runs_are_kept(tmp_path: Path) -> None:
    (tmp_path / FAILURES).write_text('{"video": "a", "path": "a", "reason": "x", "time": ""}\nno JSON\n[]\n{"v": 1}\n')
    with Claims(tmp_path / "claims") as claims:
        log = SharedFailures(tmp_path, claims)
        log.failed("b", Path("b.mp4"), "broken")
        log.write()
        theirs = SharedFailures(tmp_path, claims)
        theirs.succeeded("b")
        theirs.write()
        log.succeeded("a")  # and says no more of b
        log.write()
    assert not (tmp_path / FAILURES).exists()


# --- who does what ----------------------------------------------------------------------------------------------------


def test_what_others_have_in_hand_is_left_or_waited_for(videos: list[Video], plan: Plan, monkeypatch) -> None:
    monkeypatch.setattr(jobs_module, "POLL", 0.05)
    plan.out.mkdir()
    with Claims(plan.out / ".claims") as others:
        claim = others.take("v1")
        assert claim is not None
        told: list[Event] = []
        extract_all(videos, plan, told.append, wait=False)
        assert {event.video.id for event in told if event.kind == "done"} == {"v0", "v2", "v3"}
        assert [event.video.id for event in told if event.kind == "left"] == ["v1"]

        def finish(event: Event) -> None:
            if event.kind == "busy":  # the other one is done now
                write_features(plan.out / "v1.npy", np.ones((1, 4)), {**read_about(plan.out / "v0.npy"), **about})
                others.release(claim)
            told.append(event)

        about = {"source": extract(videos[1].path, Colours()).source}
        told.clear()
        extract_all(videos, plan, finish)
        assert told[-1] == Event("skipped", videos[1])
        assert {event.kind for event in told} == {"skipped", "busy"}


def test_what_the_dead_left_is_cleared_up(videos: list[Video], plan: Plan) -> None:
    run(videos[:1], plan)
    left_behind(plan.out / ".claims", "v0.0")  # killed after writing
    left_behind(plan.out / ".claims", "v1.0")  # killed while writing
    (plan.out / ".v1.0123456789ab.npy").write_bytes(b"half a file")
    (plan.out / ".v2.0123456789ab.npy").write_bytes(b"half a file")
    with Claims(plan.out / ".claims") as others:
        assert others.take("v2")
        extract_all(videos, plan, lambda event: None, wait=False)
        assert (plan.out / ".v2.0123456789ab.npy").exists()  # somebody is writing this one
    assert run(videos, plan) == {**all_are("skipped", videos), "v2": "done"}


def test_parts_are_whole_and_apart() -> None:
    videos = [Video(f"video {index}", Path()) for index in range(1000)]
    parts = [[video for video in videos if in_shard(video, number, 7)] for number in range(1, 8)]
    assert sorted((video for part in parts for video in part), key=lambda video: int(video.id[6:])) == videos
    assert all(100 < len(part) < 190 for part in parts)
    assert [video.id for video in parts[2][:3]] == ["video 0", "video 10", "video 19"]  # on every machine alike


def test_names(tmp_path: Path) -> None:
    for name, content in {"a/x.mp4": "1", "b/x.mkv": "1", "a/y.mp4": "2", "b/y.mp4": "3", "z.a.mp4": "4"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    same, copy, one, other, last = sorted(tmp_path.rglob("*.m*"), key=lambda path: (path.stem, str(path)))
    assert name_videos([last, same, copy, same]) == [Video("z.a", last), Video("x", same)]
    with pytest.raises(ValueError, match=r"share a name.*\n  - .*a/y\.mp4, .*b/y\.mp4"):
        name_videos([same, copy, one, other])
    with pytest.raises(ValueError, match="share a name"):
        name_videos([tmp_path / "absent/x.mp4", same])


def test_names_of_many_bytes(videos: list[Video], plan: Plan) -> None:
    """A file's name takes 255 bytes; eighty of these letters have 240."""
    path = videos[0].path.rename(videos[0].path.with_name("\N{CJK UNIFIED IDEOGRAPH-6F22}" * 80 + ".mkv"))
    (video,) = name_videos([path])
    assert run([video], plan) == {video.id: "done"}
    assert read_about(plan.out / f"{video.id}.npy")["source"]


def test_a_board_gives_out_each_video_once() -> None:
    videos = [Video(name, Path()) for name in "abc"]
    board = Board(videos)
    assert [board.next() for _ in range(3)] == videos and board.empty and board.next() is None
    board.settle(Event("busy", videos[0]))
    assert not board.empty and board.next() == videos[0] and board.empty


# --- several processes ------------------------------------------------------------------------------------------------


def test_several_processes_give_the_same(videos: list[Video], plan: Plan, tmp_path: Path) -> None:
    run(videos, plan)
    videos[0].path.write_text("not a video")
    again = replace(plan, out=tmp_path / "again")
    assert run(videos, again, workers=2) == {**all_are("done", videos), "v0": "failed"}
    for video in videos[1:]:
        name = f"{video.id}.npy"
        assert (again.out / name).read_bytes() == (plan.out / name).read_bytes()
    assert list(failures(again)) == ["v0"]


def test_a_worker_that_dies_costs_its_video_only(videos: list[Video], plan: Plan) -> None:
    render(videos[0].path, lossless(shades([DEADLY] * FPS), FPS))
    plan = replace(plan, backbone=f"{HERE}:Deadly")
    assert run(videos, plan, workers=2) == {**all_are("done", videos), "v0": "failed"}
    assert "ended by signal 9" in failures(plan)["v0"]


def test_what_stops_one_worker_stops_all(videos: list[Video], plan: Plan) -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_all(videos, plan, interrupt, workers=2)
    assert not (plan.out / ".claims").exists()
    assert set(run(videos, plan)) == {video.id for video in videos}
