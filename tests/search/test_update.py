"""A living library: files that are renamed, changed, copied, gone or taken out, and captions that come later."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.models.scorer import Scorer
from mmpt.search.ingest import Event
from mmpt.search.library import VideoLibrary
from mmpt.search.store_tables import Source
from mmpt.video.writer import write_video
from tests.search.making import frames, subtitles
from tests.search.tools import encodings, ids


def test_a_renamed_file_is_not_encoded_again(own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, before = encodings(monkeypatch), own.video(ids(own)["dog.mp4"])
    (videos / "cellar").mkdir()
    (videos / "garden" / "dog.mp4").rename(videos / "cellar" / "hound.mp4")
    report = own.update()
    assert counted == [] and [record.path for record in report.renamed] == [str(videos / "cellar" / "hound.mp4")]
    after, path = own.video(before.id), str(videos / "cellar" / "hound.mp4")
    assert after == replace(before, path=path, real_path=path, stamp=after.stamp)
    assert report.gone == [] and report.known == 2


def test_a_renamed_file_whose_name_another_video_took_is_not_encoded_again(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, soup = encodings(monkeypatch), ids(own)["soup.mp4"]
    (videos / "kitchen" / "soup.mp4").rename(videos / "z.mp4")  # is met later than its old name
    write_video(videos / "kitchen" / "soup.mp4", frames(4, seed=99), fps=10)
    own.update()
    assert counted == [4] and len(own.videos()) == 4 and ids(own)["z.mp4"] == soup


def test_a_copy_is_the_same_video(own: VideoLibrary, videos: Path) -> None:
    shutil.copy(videos / "garden" / "dog.mp4", videos / "zoo.mp4")
    events: list[Event] = []
    report = own.update(on_event=events.append)
    assert report.known == 4 and len(own.videos()) == 3
    assert [event.detail for event in events if event.detail] == [f"a copy of {videos / 'garden' / 'dog.mp4'}"]
    (videos / "garden" / "dog.mp4").unlink()  # the copy takes its place
    assert [record.path for record in own.update().renamed] == [str(videos / "zoo.mp4")]


def test_a_changed_file_takes_the_old_ones_place(own: VideoLibrary, videos: Path) -> None:
    old = ids(own)["soup.mp4"]
    write_video(videos / "kitchen" / "soup.mp4", frames(5, seed=77), fps=10)
    report = own.update()
    assert [record.seconds for record in report.changed] == [5] and report.added == []
    new = ids(own)["soup.mp4"]
    assert new != old and old not in own.store.videos() and len(own.videos()) == 3
    assert [caption.text for caption in own.captions(new)] == ["Cut the carrots.", "Boil the water for the soup."]


def test_a_file_written_over_by_a_copy_of_another_is_no_longer_the_old_video(own: VideoLibrary, videos: Path) -> None:
    shutil.copy(videos / "garden" / "dog.mp4", videos / "kitchen" / "soup.mp4")
    own.update()
    assert sorted(ids(own)) == ["dog.mp4", "pancake.mp4"]
    assert [hit[0] for hit in own.store.full_text("carrots", 5)] == [ids(own)["dog.mp4"]]  # soup.srt is a copy's now


def test_two_files_that_change_places_keep_their_vectors(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog, soup, spare = videos / "garden" / "dog.mp4", videos / "kitchen" / "soup.mp4", videos / "spare"
    before = ids(own)
    for source, target in ((dog, spare), (soup, dog), (spare, soup)):
        source.rename(target)
    counted = encodings(monkeypatch)
    own.update()
    assert counted == []
    assert ids(own) == {**before, "dog.mp4": before["soup.mp4"], "soup.mp4": before["dog.mp4"]}


def test_gone_files_are_told_and_kept_until_they_are_pruned(own: VideoLibrary, videos: Path) -> None:
    (videos / "garden" / "dog.mp4").unlink()
    report = own.update()
    assert [Path(record.path).name for record in report.gone] == ["dog.mp4"] and report.removed == 0
    assert report.failed == [] and len(own.videos()) == 3
    assert own.update(prune=True).removed == 1
    assert sorted(ids(own)) == ["pancake.mp4", "soup.mp4"]


def test_a_disk_that_is_not_plugged_in_takes_nothing_out(own: VideoLibrary, videos: Path) -> None:
    videos.rename(videos.with_name("unplugged"))
    report = own.update(prune=True)
    assert len(report.gone) == 3 and report.removed == 0 and len(own.videos()) == 3
    videos.with_name("unplugged").rename(videos)
    assert own.update().known == 3


def test_an_empty_folder_may_be_where_a_disk_is_plugged_in(own: VideoLibrary, videos: Path) -> None:
    videos.rename(videos.with_name("unplugged"))
    videos.mkdir()
    report = own.update(prune=True)
    assert len(report.gone) == 3 and report.removed == 0 and len(own.videos()) == 3


def test_a_folder_that_may_not_be_looked_into_takes_nothing_out(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, walk = os.stat, os.scandir

    def barred(real):
        def refuse(path, *args, **kwargs):
            if str(path).startswith(str(videos)):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return refuse

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", barred(look))
        patch.setattr(os, "scandir", barred(walk))
        report = own.update(prune=True)
        assert own.stats()["missing"] == 0 and own.check() == []
    assert (report.gone, report.removed) == ([], 0) and "denied" in report.failed[0][1]
    assert len(own.videos()) == 3


def test_a_single_file_that_is_gone_can_be_pruned(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    library.add(videos / "garden" / "dog.mp4")
    (videos / "garden" / "dog.mp4").unlink()
    assert library.update(prune=True).removed == 1
    assert library.videos() == [] and library.store.sources() == []


def test_new_captions_are_read_and_nothing_is_encoded(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = encodings(monkeypatch)
    (videos / "garden" / "dog.srt").write_text(subtitles(["Good dog."]))
    (videos / "kitchen" / "soup.srt").write_text(subtitles(["Peel potatoes instead."]))
    [before] = own.store.vectors([ids(own)["soup.mp4"]])
    report = own.update()
    assert counted == [] and len(report.captions) == 2 and report.known == 1
    assert [hit[1].text for hit in own.store.full_text("potato", 5)] == ["Peel potatoes instead."]
    assert own.store.full_text("carrots", 5) == []
    [after] = own.store.vectors([ids(own)["soup.mp4"]])
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    (videos / "garden" / "dog.srt").unlink()
    own.update()
    assert own.captions(ids(own)["dog.mp4"]) == [] and own.update().known == 3


def test_unreadable_captions_lose_neither_the_video_nor_older_captions(own: VideoLibrary, videos: Path) -> None:
    (videos / "kitchen" / "soup.srt").write_text("spoilt")
    (videos / "garden" / "dog.srt").write_bytes(b"\x00\xff\xfe")
    report = own.update()
    assert sorted(Path(path).name for path, _ in report.unread) == ["dog.mp4", "soup.mp4"] and report.failed == []
    assert len(own.captions(ids(own)["soup.mp4"])) == 2
    new = videos / "new.mp4"
    write_video(new, frames(2, seed=5), fps=10)
    new.with_suffix(".srt").write_text("spoilt")
    report = own.update()
    assert [record.path for record in report.added] == [str(new)] and len(report.unread) == 3
    new.with_suffix(".srt").write_text(subtitles(["Mended."]))
    assert [record.path for record in own.update().captions] == [str(new)]


def test_taken_out_videos_stay_out_until_they_are_wanted_again(own: VideoLibrary, videos: Path) -> None:
    assert own.remove(ids(own)["dog.mp4"]) == 1
    assert own.remove([videos / "kitchen" / "soup.mp4"]) == 1
    assert sorted(ids(own)) == ["pancake.mp4"] and own.update().known == 1
    assert own.store.full_text("carrots", 5) == []
    assert [Path(record.path).name for record in own.add(videos / "kitchen").added] == ["soup.mp4"]
    assert own.update().known == 2
    assert sorted(ids(own)) == ["pancake.mp4", "soup.mp4"]


def test_a_folder_that_is_taken_out_is_forgotten(own: VideoLibrary, videos: Path) -> None:
    assert own.remove(videos) == 3
    assert own.store.sources() == [] and own.videos() == []
    assert own.update().added == []
    with pytest.raises(ValueError, match="has no video"):
        own.remove("nothing.mp4")


def test_captions_of_a_folder_a_language_and_an_encoding_are_remembered(
    videos: Path, tmp_path: Path, grid_scorer: Scorer
) -> None:
    subs = tmp_path / "subs"
    subs.mkdir()
    (subs / "dog.de.srt").write_bytes(subtitles(["Der Hund läuft."]).encode("cp1252"))
    (subs / "dog.en.srt").write_text(subtitles(["The dog runs."]))
    library = VideoLibrary(tmp_path / "own", grid_scorer)
    library.add(videos, subs, language="de", encoding="cp1252")
    assert [caption.text for caption in library.captions(ids(library)["dog.mp4"])] == ["Der Hund läuft."]
    assert library.captions(ids(library)["soup.mp4"]) == []
    assert library.update().known == 3
    [source] = library.store.sources()
    assert source == Source(str(videos), str(subs), "de", "cp1252")
