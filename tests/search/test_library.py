"""A library of videos: in once by content, kept current, never half there."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from mmpt.models.scorer import Scorer, load
from mmpt.search import ingest
from mmpt.search.ingest import Event
from mmpt.search.library import VideoLibrary, side_folder
from mmpt.search.query import Query
from mmpt.search.records import Caption
from mmpt.search.store import Store
from mmpt.search.store_database import Database
from mmpt.video.claims import Claims
from mmpt.video.writer import write_video
from tests.search.making import SECONDS, frames, make_grid_model
from tests.search.tools import encodings, ids, paths


def test_videos_go_in_with_features_windows_and_captions(own: VideoLibrary, videos: Path, grid_scorer: Scorer) -> None:
    assert paths(own) == sorted(str(videos / name) for name in SECONDS)
    for record in own.videos():
        name = os.path.relpath(record.path, videos)
        assert record.seconds == SECONDS[name] and record.damage == ()
        [(_, windows, vectors)] = own.store.vectors([record.id])
        assert len(windows) == record.windows == len(vectors)
        features = grid_scorer.features(record.path).array
        start, end = windows[-1]
        expected = grid_scorer.encode_video(features[start:end]).vectors[0].numpy()
        assert np.allclose(vectors[-1], expected, atol=2e-2, rtol=2e-3)
        expected = grid_scorer.curve(record.path, "a woman flips").numpy()  # all shorter than the longest window
        assert np.allclose(own.curve(record.id, "a woman flips"), expected, atol=5e-2, rtol=5e-3)
    pancake = own.video(ids(own)["pancake.mp4"])
    assert own.captions(pancake.id)[1] == Caption(4.0, 7.5, "Now flip the pancake.", "en")
    assert [hit[0] for hit in own.store.full_text("flipping pancakes", 5)] == [pancake.id]


def test_events_and_report_tell_what_happens(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> None:
    events: list[Event] = []
    scorer = Scorer(
        grid_scorer.model, grid_scorer.tokenizer, grid_scorer.aligner, grid_scorer.backbone, use_cache=False
    )
    report = VideoLibrary(tmp_path / "own", scorer).add(videos, on_event=events.append)
    assert [(event.number, event.count) for event in events if event.kind == "begin"] == [(1, 3), (2, 3), (3, 3)]
    assert sum(event.kind == "added" for event in events) == 3
    assert all(event.seconds > 0 for event in events if event.kind == "progress")
    assert (len(report.added), report.seconds, report.failed) == (3, sum(SECONDS.values()), [])


def test_what_is_known_is_not_encoded_again_and_needs_no_model(
    library: VideoLibrary, rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = encodings(monkeypatch)
    monkeypatch.setattr(VideoLibrary, "scorer", property(lambda self: pytest.fail("the model is loaded")))
    version = library.store.version()
    report = library.add([rendered, rendered / "kitchen"])
    assert (report.known, report.added, counted) == (3, [], [])
    assert library.store.version() == version


def test_a_broken_video_is_told_and_the_others_go_in(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> None:
    (videos / "a-broken.mp4").write_bytes(b"nothing that plays")
    (videos / "empty.mp4").touch()
    cut_off = (videos / "kitchen" / "soup.mp4").read_bytes()
    (videos / "kitchen" / "soup.mp4").write_bytes(cut_off[: len(cut_off) // 3])
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    report = library.add(videos)
    assert {Path(path).name for path, _ in report.failed} >= {"a-broken.mp4", "empty.mp4"}
    assert all(path in reason for path, reason in report.failed)
    assert {"dog.mp4", "pancake.mp4"} <= set(ids(library))
    assert library.update().added == []  # told again, not taken in


def test_a_video_damaged_in_part_is_searchable_and_says_so(
    real_videos: Path, tmp_path: Path, grid_scorer: Scorer
) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    report = library.add(real_videos / "corrupted.mp4")
    assert len(report.added) == 1 and report.failed == []
    assert report.warned and "damaged" in library.videos()[0].damage[0]


def test_real_videos_of_all_kinds(real_videos: Path, tmp_path: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    report = library.add(real_videos)
    assert report.failed == [] and len(report.added) == len(library.videos()) >= 13
    assert all(record.windows >= 1 and record.seconds >= 1 for record in library.videos())


def test_another_model_is_refused_and_both_are_named(library: VideoLibrary, tmp_path: Path, rendered: Path) -> None:
    other = load(make_grid_model(tmp_path / "other", seed=1))
    with pytest.raises(ValueError, match=r"made with the model .*grid-model.*cannot be used with .*other/model"):
        VideoLibrary(library.address, other)
    late = VideoLibrary(library.address, other.name)
    with pytest.raises(ValueError, match="not of one space"):
        late.curve(library.videos()[0].id, "a dog")
    with pytest.raises(ValueError, match="not of one space"):  # though nothing is new
        late.add(rendered)


def test_the_same_weights_elsewhere_are_the_same_model(library: VideoLibrary, grid_model: Path, tmp_path: Path) -> None:
    shutil.copytree(grid_model, tmp_path / "copied")
    assert VideoLibrary(library.address, tmp_path / "copied").curve(library.videos()[0].id, "a dog").ndim == 1


def test_another_backbone_or_version_of_it_is_refused(
    library: VideoLibrary, grid_scorer: Scorer, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(videos / "new.mp4", frames(2, seed=9), fps=10)
    monkeypatch.setattr(type(grid_scorer.backbone), "version", "grid-2")
    before = paths(library)
    with pytest.raises(ValueError, match="version grid-1; the video network here is version grid-2"):
        library.add(videos)
    assert paths(library) == before
    monkeypatch.setattr(type(grid_scorer.backbone), "name", "grid/other")
    with pytest.raises(ValueError, match=r"over grid features, and cannot be used with .* over grid/other features"):
        VideoLibrary(library.address, grid_scorer)


def test_the_librarys_own_model_is_loaded_by_its_name(library: VideoLibrary) -> None:
    opened = VideoLibrary(library.address)
    video = opened.videos()[0]
    assert np.allclose(opened.curve(video.id, "a dog"), library.curve(video.id, "a dog"))


def test_nothing_there_is_told_and_nothing_is_made(tmp_path: Path, grid_scorer: Scorer) -> None:
    folder = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match="there is no library"):
        VideoLibrary(folder, create=False)
    library = VideoLibrary(folder, grid_scorer)
    with pytest.raises(FileNotFoundError, match="there is no library"):
        library.videos()
    (tmp_path / "empty").mkdir()
    for given, told in (
        (tmp_path / "empty", "holds no video"),
        (tmp_path / "typo.mp4", "there is nothing at"),
        ([], "no path was given"),
        ("bad\udcff", "not in UTF-8"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            library.add(given)
    with pytest.raises(FileNotFoundError, match="no folder of captions"):
        library.add(tmp_path / "empty", tmp_path / "no-subs")
    assert not folder.exists()


def test_one_missing_path_among_others_is_told(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    report = library.add([videos / "garden", tmp_path / "typo.mp4"])
    assert len(report.added) == 1 and [path for path, _ in report.failed] == [str(tmp_path / "typo.mp4")]
    assert [source.path for source in library.store.sources()] == [str(videos / "garden")]


def test_an_unknown_id_is_a_value_error(library: VideoLibrary) -> None:
    for ask in (library.video, library.captions, lambda video: library.curve(video, "a dog")):
        with pytest.raises(ValueError, match="has no video"):
            ask("../../etc/passwd")


def test_missing_weights_stop_everything_and_are_not_a_videos_fault(
    videos: Path, tmp_path: Path, grid_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)

    def missing(self, *args, **kwargs):
        raise FileNotFoundError("no weights; get them with mmpt download s3d")

    monkeypatch.setattr(Scorer, "features", missing)
    with pytest.raises(FileNotFoundError, match="mmpt download s3d"):
        library.add(videos)


def test_a_disk_that_is_full_stops_everything_and_loses_nothing(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_video(videos / f"new{number}.mp4", frames(2, seed=50 + number), fps=10)
    before = paths(own)

    def full(self, name, rows):
        if name == "captions":
            raise OSError("No space left on device")
        return append(self, name, rows)

    append = Database.append
    with monkeypatch.context() as patch:
        patch.setattr(Database, "append", full)
        with pytest.raises(OSError, match="No space left"):
            own.update()
    assert paths(own) == before and own.store.lost() == []
    assert len(own.update().added) == 2


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(
    videos: Path, tmp_path: Path, grid_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)

    def stop(event: Event) -> None:
        if event.kind == "begin" and event.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.add(videos, on_event=stop)
    assert len(library.videos()) == 2 and not any((side_folder(library.address) / "claims").glob("*"))
    counted = encodings(monkeypatch)
    assert VideoLibrary(library.address, grid_scorer).add(videos).known == 2
    assert len(counted) == 1


def test_a_video_in_another_process_hand_is_waited_for(
    videos: Path, tmp_path: Path, grid_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = encodings(monkeypatch)
    monkeypatch.setattr(ingest, "LOOK", 0.01)
    library, other = (VideoLibrary(tmp_path / "own", grid_scorer) for _ in range(2))
    reports = {}
    threads = [
        threading.Thread(target=lambda name=name, lib=lib: reports.update({name: lib.add(videos)}))
        for name, lib in (("one", library), ("two", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(library.videos()) == 3 and library.store.doubles() == []
    assert sorted(counted) == sorted(SECONDS.values())  # each was encoded once
    assert len(reports["one"].added) + len(reports["two"].added) == 3
    assert reports["one"].known + reports["two"].known == 3


def test_a_claim_that_somebody_dead_left_does_not_stop_anyone(
    videos: Path, tmp_path: Path, grid_scorer: Scorer
) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    library.add(videos / "garden")
    claims = Claims(side_folder(library.address) / "claims")
    claim = claims.take("0" * 16)
    assert claim is not None
    claim.path.write_text(claim.path.read_text().replace(f'"pid": {os.getpid()}', '"pid": 999999999'))
    assert len(library.add(videos).added) == 2


def test_several_threads_read_one_object(library: VideoLibrary) -> None:
    expected = {record.id: library.curve(record.id, "a dog runs") for record in library.videos()}
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(5):
                for video_id, curve in expected.items():
                    assert np.allclose(library.curve(video_id, "a dog runs"), curve, atol=1e-5)
                    assert len(library.captions(video_id)) == library.video(video_id).captions
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_an_object_stores_library_keeps_its_side_files_in_the_cache(
    videos: Path, tmp_path: Path, grid_scorer: Scorer
) -> None:
    address = f"file://{tmp_path}/bucket/library"
    library = VideoLibrary(address, grid_scorer)
    assert len(library.add(videos).added) == 3
    assert side_folder(address).is_relative_to(os.environ["MMPT_CACHE"])
    assert len(Store.open(address).videos()) == 3 and library.stats()["bytes"] is None


def test_a_search_finds_what_is_seen_and_what_is_said(own: VideoLibrary) -> None:
    found = own.search("flip the pancake", limit=3, threshold=None)
    assert 1 <= len(found.moments) <= 3 and found.searched == own.stats()["windows"]
    said = own.search("flip the pancake", mode="said").moments
    assert [Path(moment.video.path).name for moment in said] == ["pancake.mp4"]
    assert said[0].start <= 4.0 < said[0].end and "flip" in (said[0].said or "")
    several = own.search_many(
        [Query(text="flip the pancake", limit=3, threshold=None), Query(text="carrots", mode="said")]
    )
    assert several[0].moments == found.moments
    assert [Path(moment.video.path).name for moment in several[1].moments] == ["soup.mp4"]


def test_what_other_processes_change_is_seen_by_the_next_search(own: VideoLibrary, videos: Path, grid_scorer) -> None:
    other = VideoLibrary(own.address, grid_scorer)
    before = other.search("a dog", threshold=None).searched
    own.remove(ids(own)["pancake.mp4"])
    left = other.search("a dog", threshold=None)
    assert left.searched < before and all("pancake" not in moment.video.path for moment in left.moments)
    own.add(videos / "kitchen" / "pancake.mp4")
    assert other.search("a dog", threshold=None).searched == before
    assert len(other.search("pancake", mode="said").moments) > 0


def test_searches_and_changes_at_the_same_time(own: VideoLibrary, videos: Path) -> None:
    errors: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                for moment in own.search("a dog runs", threshold=None).moments:
                    assert 0 <= moment.start < moment.end <= moment.video.seconds
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        own.remove(videos / "kitchen" / "soup.mp4")
        own.add(videos / "kitchen" / "soup.mp4")
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_thumbnail_is_a_picture_of_the_video(own: VideoLibrary) -> None:
    assert own.thumbnail(ids(own)["dog.mp4"], 1.0, width=64).startswith(b"\xff\xd8")


def test_it_is_exported_by_the_package() -> None:
    import mmpt

    assert mmpt.VideoLibrary is VideoLibrary
