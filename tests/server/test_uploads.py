"""Uploads: added by a process of their own, within limits, and never under a name of the client's."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from starlette.testclient import TestClient

from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.server import claims, uploads
from mmpt.server.settings import Settings
from mmpt.utils.files import content_hash
from mmpt.video.writer import write_video
from tests.conftest import ROOT
from tests.search.making import FPS, frames
from tests.server.conftest import Client
from tests.server.test_api import refused
from tests.server.test_receiving import MP4

OURS = {"X-Mmpt": "1"}
WAIT = 90.0  # seconds; a process of its own loads torch and the model first


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "clip.mp4"
    write_video(path, frames(4, seed=21), fps=FPS)
    return path


def send(client: TestClient, content: bytes, name: str = "clip.mp4"):
    return client.post("/api/uploads", params={"name": name}, content=content, headers=OURS)


def ended(client: TestClient, upload_id: str) -> dict:
    """Wait until an upload has come to its end."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        told = client.get(f"/api/uploads/{upload_id}").json()
        if told["state"] not in ("waiting", "working"):
            return told
        time.sleep(0.1)
    raise AssertionError(f"still {told} after {WAIT} s")


def test_uploads_are_off_unless_asked_for(client: TestClient):
    refused(send(client, b"x"), 404)
    assert client.get("/api/library").json()["uploads"] is False


def test_a_video_is_added_and_found_at_once(serve: Client, own_library: Path, tmp_path: Path, clip: Path):
    client = serve(own_library, uploads=tmp_path / "up")
    answer = send(client, clip.read_bytes(), "../../../tmp/my holiday <b>.mp4")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"uploads/{answer.json()['id']}"  # beside /api/uploads
    told = ended(client, answer.json()["id"])
    assert (told["state"], told["name"], told["seconds"]) == ("added", "my holiday <b>.mp4", 4), told
    video = client.get(f"/api/videos/{told['video']}").json()
    assert (video["title"], video["seconds"]) == ("my holiday <b>.mp4", 4)
    assert client.get(f"/api/videos/{told['video']}/stream").content == clip.read_bytes()
    asked = {"like": told["video"], "threshold": "none", "folder": str(tmp_path / "up")}
    assert client.get("/api/search", params=asked).json()["moments"]
    source = content_hash(clip)[:16]
    assert sorted(path.name for path in (tmp_path / "up").iterdir()) == [f"{source}.json", f"{source}.mp4"]
    again = send(client, clip.read_bytes(), "same.mp4").json()
    assert (again["state"], again["video"]) == ("known", told["video"])
    assert [one["id"] for one in client.get("/api/uploads").json()] == [again["id"], told["id"]]
    assert 'mmpt_uploads_total{result="added"} 1' in client.get("/api/metrics").text


def test_an_empty_library_takes_its_first_video(serve: Client, tmp_path: Path, clip: Path, model: Path):
    client = serve(tmp_path / "new", uploads=tmp_path / "up", opening={"model": str(model)})
    told = ended(client, send(client, clip.read_bytes()).json()["id"])
    assert told["state"] == "added", told
    assert client.get("/api/library").json()["videos"] == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"GIF89a" + bytes(100), 415), (b"", 400), (b"<html><script>alert(1)</script>", 415), (bytes(3 << 20), 413)],
)
def test_what_is_no_video_or_too_large_is_refused(serve: Client, tmp_path: Path, content: bytes, status: int):
    client = serve(uploads=tmp_path / "up", upload_bytes=1 << 20)
    refused(send(client, content), status)
    assert list((tmp_path / "up").iterdir()) == []
    refused(client.get("/api/uploads/" + "0" * 32), 404)


def test_a_video_that_cannot_be_decoded_fails_and_leaves_nothing(serve: Client, own_library: Path, tmp_path: Path):
    client = serve(own_library, uploads=tmp_path / "up")
    told = ended(client, send(client, b"\x00\x00\x00\x20ftypisom" + bytes(5000)).json()["id"])
    assert told["state"] == "failed" and told["detail"].startswith("clip.mp4 "), told
    assert str(tmp_path) not in told["detail"]
    assert list((tmp_path / "up").iterdir()) == []
    assert client.get("/api/library").json()["videos"] == 3


def test_a_video_that_takes_too_long_is_given_up(serve: Client, own_library: Path, tmp_path: Path, clip: Path):
    client = serve(own_library, uploads=tmp_path / "up", upload_seconds=0.3)
    begin = time.monotonic()
    told = ended(client, send(client, clip.read_bytes()).json()["id"])
    assert time.monotonic() - begin < 30
    assert (told["state"], "0.3 s" in told["detail"]) == ("failed", True), told
    assert list((tmp_path / "up").iterdir()) == []


def test_a_video_that_takes_too_much_memory_fails_alone(serve: Client, own_library: Path, tmp_path: Path, clip: Path):
    client = serve(own_library, uploads=tmp_path / "up", upload_memory=300 << 20)
    told = ended(client, send(client, clip.read_bytes()).json()["id"])
    assert told["state"] == "failed" and "memory" in told["detail"], told
    assert client.get("/api/search", params={"q": "water", "mode": "said"}).status_code == 200
    assert client.get("/api/library").json()["videos"] == 3


def test_what_was_put_in_before_the_process_was_ended_keeps_its_file(
    serve: Client, own_library: Path, tmp_path: Path, clip: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
):
    async def ended_late(_, upload: uploads.Upload, path: Path) -> tuple[str, str]:
        VideoLibrary(own_library, scorer).add([path])
        return "failed", "it took more than the server allows"

    monkeypatch.setattr(uploads.Uploads, "_index", ended_late)
    client = serve(own_library, uploads=tmp_path / "up")
    told = ended(client, send(client, clip.read_bytes()).json()["id"])
    assert (told["state"], told["detail"]) == ("added", "")
    assert client.get(f"/api/videos/{told['video']}/stream").content == clip.read_bytes()


def test_whatever_one_process_answers_the_next_video_has_its_turn(
    serve: Client, own_library: Path, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    async def reads_no_object(*_) -> None:
        raise AttributeError("'list' object has no attribute 'get'")  # for what a process that was taken over may say

    monkeypatch.setattr(uploads, "_follow", reads_no_object)
    client = serve(own_library, uploads=tmp_path / "up")
    assert ended(client, send(client, clip.read_bytes()).json()["id"])["state"] == "failed"
    monkeypatch.undo()
    assert ended(client, send(client, clip.read_bytes()).json()["id"])["state"] == "added"


def test_too_many_that_wait_are_429(serve: Client, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MAX_WAITING", 0)
    client = serve(uploads=tmp_path / "up")
    answer = send(client, clip.read_bytes())
    refused(answer, 429)
    assert int(answer.headers["retry-after"]) > 1


def test_what_a_stopped_server_received_is_taken_up_at_the_next_start(
    serve: Client, own_library: Path, tmp_path: Path, clip: Path
):
    folder, source = tmp_path / "up", content_hash(clip)[:16]
    folder.mkdir()
    (folder / f"{source}.mp4").write_bytes(clip.read_bytes())
    (folder / f"{source}.json").write_text(json.dumps({"name": "before.mp4", "file": f"{source}.mp4"}))
    (folder / "0123.part").write_bytes(b"half an upload")
    client = serve(own_library, uploads=folder)
    (waiting,) = client.get("/api/uploads").json()
    assert ended(client, waiting["id"])["state"] == "added"
    assert not (folder / "0123.part").exists()
    titles = {video["title"] for video in client.get("/api/videos").json()["videos"]}
    assert "before.mp4" in titles


def test_a_server_that_stops_ends_the_process_and_keeps_the_video(
    serve: Client, own_library: Path, tmp_path: Path, clip: Path, scorer
):
    folder = tmp_path / "up"
    client = serve(own_library, uploads=folder)
    begin = time.monotonic()
    send(client, clip.read_bytes())
    client.__exit__(None, None, None)
    assert time.monotonic() - begin < 20
    assert len(list(folder.glob("*.mp4"))) == 1
    assert len(VideoLibrary(own_library, scorer).videos()) in (3, 4)
    client.__enter__()


class Server:
    """Uploads without an application around them: what is indexed is only noted, when the test lets it."""

    def __init__(self, folder: Path, library: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.worked: list[str] = []
        self.free = asyncio.Event()
        self.result = "added"

        async def index(_, path: Path) -> tuple[str, str]:
            self.worked.append(path.stem)
            await self.free.wait()
            if self.result == "added":
                library.add(path.stem)
            return self.result, ""

        self.uploads = uploads.Uploads(
            folder,
            "library",
            {},
            Settings(),
            known=lambda: dict.fromkeys(library),  # pyright: ignore[reportArgumentType]
            count=lambda _: None,
        )
        monkeypatch.setattr(self.uploads, "_index", index)

    async def send(self, content: bytes = MP4, pause: asyncio.Event | None = None) -> uploads.Upload:
        async def body():
            yield content[:80]
            if pause is not None:
                await pause.wait()
            yield content[80:]

        return await self.uploads.take("clip.mp4", body(), None)

    async def crash(self) -> None:
        """End as a process that is killed: nothing is tidied up, and the system lets go of its locks."""
        for task in self.uploads._tasks:
            task.cancel()
        for held in self.uploads._claims:
            held.release()
        self.uploads._claims.clear()


async def become(upload: uploads.Upload, state: str) -> None:
    async with asyncio.timeout(10):
        while upload.state != state:
            await asyncio.sleep(0.01)


@pytest.fixture
def two_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Plays a scene with two servers of one folder and library: play(scene), scene(first, second, folder)."""
    monkeypatch.setattr(uploads, "RESCAN_INTERVAL_S", 0.02)

    def play(scene) -> None:
        async def run() -> None:
            library: set[str] = set()
            first, second = (Server(tmp_path / "up", library, monkeypatch) for _ in range(2))
            await scene(first, second, tmp_path / "up")
            for server in (first, second):
                await server.uploads.stop()
            assert not list((tmp_path / "up").glob("*.part")) and not list((tmp_path / "up").glob("*.pending"))

        asyncio.run(run())

    return play


def test_a_second_server_leaves_what_the_first_one_receives(two_servers):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        await first.uploads.start()
        pause = asyncio.Event()
        sending = asyncio.create_task(first.send(pause=pause))
        async with asyncio.timeout(10):
            while not list(folder.glob("*.part")):
                await asyncio.sleep(0.01)
        old = time.time() - 10_000
        for part in folder.glob("*.part"):
            os.utime(part, (old, old))  # however long the first one has been at it
        (folder / "of-a-dead-server.part").write_bytes(b"half an upload")
        await second.uploads.start()
        await asyncio.sleep(0.1)
        assert not (folder / "of-a-dead-server.part").exists()
        pause.set()
        upload = await sending
        first.free.set()
        await become(upload, "added")
        assert (folder / f"{upload.video}.mp4").read_bytes() == MP4
        assert second.worked == [] and second.uploads.recent() == []

    two_servers(scene)


def test_a_second_server_does_not_take_up_what_the_first_one_works_on_or_has_queued(two_servers):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        await first.uploads.start()
        sent = [await first.send(), await first.send(MP4 + b"another")]
        await become(sent[0], "working")
        await second.uploads.start()
        second.free.set()
        await asyncio.sleep(0.1)
        assert second.worked == [] and second.uploads.recent() == []
        first.free.set()
        for upload in sent:
            await become(upload, "added")

    two_servers(scene)


@pytest.mark.parametrize("killed", [False, True])
def test_what_a_server_leaves_behind_is_taken_up_by_one_that_runs_already(two_servers, killed: bool):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        await first.uploads.start()
        await second.uploads.start()
        second.free.set()
        sent = [await first.send(), await first.send(MP4 + b"another")]
        await become(sent[0], "working")
        (folder / "0123.part").write_bytes(b"half an upload")
        await (first.crash() if killed else first.uploads.stop())
        async with asyncio.timeout(10):
            while len([one for one in second.uploads.recent() if one.state == "added"]) < 2:
                await asyncio.sleep(0.01)
        assert len(second.worked) == 2
        assert {one.name for one in second.uploads.recent()} == {"clip.mp4"}

    two_servers(scene)


@pytest.mark.parametrize(("result", "state"), [("added", "added"), ("failed", "failed")])
def test_the_same_video_sent_to_two_servers_is_indexed_once(two_servers, result: str, state: str):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        first.result = result
        await first.uploads.start()
        await second.uploads.start()
        one = await first.send()
        await become(one, "working")
        other, third = await second.send(), await first.send()
        assert (other.state, third.state) == ("waiting", "waiting")
        first.free.set()
        for upload in (one, other, third):
            await become(upload, state)
        assert (len(first.worked), second.worked) == (1, [])
        assert bool(other.detail) is (state == "failed")
        left = sorted(path.suffix for path in folder.iterdir())
        assert left == ([".json", ".mp4"] if state == "added" else [])

    two_servers(scene)


def test_an_upload_that_waits_for_another_server_is_indexed_when_that_one_is_killed(two_servers):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        await first.uploads.start()
        await second.uploads.start()
        second.free.set()
        await become(await first.send(), "working")
        waiting = await second.send()
        await first.crash()
        await become(waiting, "added")
        assert [one.id for one in second.uploads.recent()] == [waiting.id]

    two_servers(scene)


def test_a_video_removed_from_the_library_is_not_taken_up_by_a_server_that_runs(two_servers):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        first.free.set()
        await first.uploads.start()
        upload = await first.send()
        await become(upload, "added")
        first.uploads._library = second.uploads._library = dict  # pyright: ignore[reportAttributeAccessIssue]
        await asyncio.sleep(0.1)
        assert first.worked == [upload.video]

    two_servers(scene)


@pytest.mark.parametrize("earlier", [False, True])  # the note was written by a version that marked nothing as pending
def test_a_video_removed_from_the_library_does_not_come_back_at_the_next_start(two_servers, earlier: bool):
    async def scene(first: Server, second: Server, folder: Path) -> None:
        first.free.set()
        await first.uploads.start()
        upload = await first.send()
        await become(upload, "added")
        if earlier:
            await first.uploads.stop()
            note = folder / f"{upload.video}.json"
            note.write_text(json.dumps({"name": "clip.mp4", "file": f"{upload.video}.mp4"}))
            await first.uploads.start()
        first.uploads._library = second.uploads._library = dict  # pyright: ignore[reportAttributeAccessIssue]
        await second.uploads.start()
        assert second.uploads.recent() == []

    two_servers(scene)


def test_where_a_disk_knows_no_locks_only_old_parts_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "fcntl", None)
    young, old = tmp_path / "young.part", tmp_path / "old.part"
    young.touch()
    old.touch()
    os.utime(old, (1, 1))
    assert claims.claim(young) is None
    held = claims.claim(old)
    assert held is not None
    held.release()
    made = claims.claim(tmp_path / "new.pending", create=True)
    assert made is not None
    made.release()


def test_a_claim_ends_with_the_process_that_has_it(tmp_path: Path):
    path = tmp_path / "clip.part"
    program = "import mmpt.server.claims as c, pathlib, sys; kept = c.claim(pathlib.Path(sys.argv[1]), create=True)"
    words = [sys.executable, "-c", f"{program}; print(); input()", path]
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert claims.claim(path) is None
        process.kill()
        process.wait()
    held = claims.claim(path)
    assert held is not None
    held.release()
