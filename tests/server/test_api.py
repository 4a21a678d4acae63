"""The API, as a client sees it."""

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.server import hall, streaming
from mmpt.server.errors import Problem
from tests.search.making import FPS, frames
from tests.server.conftest import MARKUP, NAMED, Client


def by_title(client: TestClient) -> dict[str, dict]:
    return {video["title"]: video for video in client.get("/api/videos").json()["videos"]}


def refused(answer, status: int) -> dict:
    """Check that an answer is an error in our form."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    Problem.model_validate(told)
    assert all(told.values()), told
    return told


def test_it_runs(client: TestClient):
    assert client.get("/api/health").json() == {"status": "ok"}


def test_the_library_is_told(client: TestClient, videos: Path):
    told = client.get("/api/library").json()
    assert (told["videos"], told["captions"], told["uploads"], told["token"]) == (3, 6, False, False)
    assert told["seconds"] == 20 + 11 + 3
    assert told["folders"] == [str(videos / "garden"), str(videos / "kitchen")]


def test_what_is_said_is_found_at_its_time(client: TestClient):
    found = client.get("/api/search", params={"q": "flip the pancake", "mode": "said"}).json()
    best = found["moments"][0]
    assert best["video"]["title"] == "pancake.mp4"
    assert best["start"] <= 4 <= best["best"] < best["end"]
    assert (best["said"], best["why"]) == ("Now flip the pancake.", "said")


def test_what_is_seen_is_the_librarys_own_answer(client: TestClient, shared_library: Path, scorer: Scorer):
    ours = VideoLibrary(shared_library, scorer).search("a dog runs", limit=24, mode="seen", threshold=None)
    told = client.get("/api/search", params={"q": "a dog runs", "mode": "seen", "threshold": "none"}).json()
    assert [(m["video"]["id"], m["start"], m["end"]) for m in told["moments"]] == [
        (m.video.id, m.start, m.end) for m in ours.moments
    ]
    assert told["searched"] == ours.searched > 0


def test_no_match_is_an_answer(client: TestClient):
    found = client.get("/api/search", params={"q": "zebra", "mode": "said"})
    assert (found.status_code, found.json()["moments"], found.json()["match"]) == (200, [], False)
    asked = {"q": "flip the pancake", "mode": "said", "threshold": "none"}
    found = client.get("/api/search", params=asked).json()
    assert found["match"] is True and found["moments"][0]["match"] is True
    found = client.get("/api/search", params={**asked, "q": "carrots and zebras"}).json()
    assert found["match"] is False and [moment["match"] for moment in found["moments"]] == [False] * 2
    found = client.get("/api/search", params={**asked, "mode": "seen"}).json()
    assert (found["judged"], found["match"]) == (False, None)  # three short videos are too few


def test_a_part_of_a_video_finds_itself(client: TestClient):
    video = by_title(client)["pancake.mp4"]
    asked = {"like": video["id"], "start": 4, "end": 8, "threshold": "none"}
    found = client.get("/api/search", params=asked).json()
    assert found["moments"] and found["moments"][0]["seen"] is not None
    curve = client.get("/api/curve", params={"video": video["id"], "like": video["id"], "start": 4, "end": 8}).json()
    assert len(curve["values"]) == 20
    refused(client.get("/api/search", params={**asked, "start": 60, "end": 61}), 422)
    refused(client.get("/api/search", params={**asked, "like": "0" * 16}), 404)


def test_filters_hold(client: TestClient, videos: Path):
    for where, titles in (
        ({"folder": str(videos / "garden")}, {NAMED}),
        ({"max_seconds": 11}, {NAMED, "soup.mp4"}),
        ({"min_seconds": 11.5}, {"pancake.mp4"}),
        ({"before": "2001-01-01"}, set()),
        ({"before": "0001-01-01"}, set()),
        ({"after": "0001-01-01", "before": "9999-12-31"}, {NAMED, "soup.mp4", "pancake.mp4"}),
        ({"after": "2001-01-01"}, {NAMED, "soup.mp4", "pancake.mp4"}),
    ):
        asked = {"q": "water", "mode": "seen", "threshold": "none", **where}
        found = client.get("/api/search", params=asked).json()
        assert {moment["video"]["title"] for moment in found["moments"]} == titles, where
        assert {video["title"] for video in client.get("/api/videos", params=where).json()["videos"]} == titles, where


def test_videos_are_listed_a_part_at_a_time(client: TestClient):
    longest = client.get("/api/videos", params={"sort": "seconds", "limit": 1}).json()
    assert (longest["total"], [video["title"] for video in longest["videos"]]) == (3, ["pancake.mp4"])
    rest = client.get("/api/videos", params={"sort": "seconds", "offset": 1}).json()
    assert [video["seconds"] for video in rest["videos"]] == [11, 3]


def test_a_video_comes_with_what_is_said(client: TestClient):
    video = by_title(client)["pancake.mp4"]
    told = client.get(f"/api/videos/{video['id']}").json()
    assert [line["text"] for line in told["said"]][1] == "Now flip the pancake."
    assert told["type"] == "video/mp4"
    refused(client.get("/api/videos/" + "0" * 16), 404)


def test_captions_are_text_in_json_and_in_webvtt(client: TestClient):
    video = by_title(client)[NAMED]
    said = client.get(f"/api/videos/{video['id']}").json()["said"][0]["text"]
    assert said == f"A carrot {MARKUP}"
    answer = client.get(f"/api/videos/{video['id']}/captions")
    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
    assert answer.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n")
    assert MARKUP not in answer.text and "<" not in answer.text.replace("-->", "")


def test_a_curve_has_a_value_for_each_second(client: TestClient, shared_library: Path, scorer: Scorer):
    video = by_title(client)["soup.mp4"]
    told = client.get("/api/curve", params={"video": video["id"], "q": "a dog"}).json()
    expected = VideoLibrary(shared_library, scorer).curve(video["id"], "a dog")
    assert told["values"] == pytest.approx(expected.tolist(), abs=1e-4)
    refused(client.get("/api/curve", params={"video": "0" * 16, "q": "a dog"}), 404)


def test_a_thumbnail_is_the_frame_of_its_second(client: TestClient):
    video = by_title(client)["pancake.mp4"]
    drawn = list(frames(20, seed=0))
    for second in (0, 7, 15):
        answer = client.get(f"/api/videos/{video['id']}/thumbnail", params={"second": second, "width": 160})
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]
        picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
        assert picture.width == 160
        assert picture.getpixel((1, 1)) == pytest.approx(tuple(drawn[second * FPS][0, 0].tolist()), abs=12)
    refused(client.get(f"/api/videos/{video['id']}/thumbnail", params={"width": 5000}), 422)


def test_a_video_is_sent_in_parts(client: TestClient, videos: Path):
    url = f"/api/videos/{by_title(client)['pancake.mp4']['id']}/stream"
    content = (videos / "kitchen" / "pancake.mp4").read_bytes()
    whole = client.get(url)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "video/mp4"
    part = client.get(url, headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, content[10:30])
    assert part.headers["content-range"] == f"bytes 10-29/{len(content)}"
    head = client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))
    outside = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    refused(outside, 416)
    assert outside.headers["content-range"] == f"bytes */{len(content)}"
    tag = whole.headers["etag"]
    same = client.get(url, headers={"Range": "bytes=0-1", "If-Range": tag})
    other = client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    for known in (tag, f"W/{tag}", "*"):
        unchanged = client.get(url, headers={"If-None-Match": known, "Range": "bytes=0-1"})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in unchanged.headers and "cache-control" in unchanged.headers
    assert client.get(url, headers={"Range": "BYTES=0-1", "If-Range": f"W/{tag}"}).status_code == 200
    assert client.get(url, headers={"Range": "BYTES=0-1"}).status_code == 206
    assert client.get(url, headers={"If-Match": '"other"'}).status_code == 412
    page = client.get("/page/app.js")
    assert client.get("/page/app.js", headers={"If-None-Match": f"W/{page.headers['etag']}"}).status_code == 304


@pytest.mark.parametrize("what", ["thumbnail?second=1", "captions", "stream"])
def test_conditions_hold_for_pictures_and_captions_as_for_videos(client: TestClient, what: str):
    [video, *_] = client.get("/api/videos").json()["videos"]
    url = f"/api/videos/{video['id']}/{what}"
    tag = client.get(url).headers["etag"]
    for header, value, status in [
        ("If-None-Match", tag, 304),
        ("If-None-Match", "*", 304),
        ("If-Match", '"other"', 412),
        ("If-Match", "*", 200),
    ]:
        assert client.get(url, headers={header: value}).status_code == status


def test_a_file_that_is_gone_or_another_is_not_served(serve: Client, scorer: Scorer, videos: Path, tmp_path: Path):
    path = tmp_path / "soup.mp4"
    path.write_bytes((videos / "kitchen" / "soup.mp4").read_bytes())
    VideoLibrary(tmp_path / "library", scorer).add([path])
    client = serve(tmp_path / "library")
    url = f"/api/videos/{by_title(client)['soup.mp4']['id']}"
    path.unlink()
    path.symlink_to("/etc/passwd")
    for part in ("stream", "thumbnail"):
        assert "root:" not in str(refused(client.get(f"{url}/{part}"), 409))
    path.unlink()
    for part in ("stream", "thumbnail"):
        assert "index update" in refused(client.get(f"{url}/{part}"), 404)["hint"]


def test_a_file_replaced_by_another_of_the_same_time_is_not_served(
    serve: Client, scorer: Scorer, videos: Path, tmp_path: Path
):
    folder, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    (folder / "sub").mkdir(parents=True)
    elsewhere.mkdir()
    for name in ("a.mp4", "sub/b.mp4"):
        source = videos / "kitchen" / ("soup.mp4" if name == "a.mp4" else "pancake.mp4")
        (folder / name).write_bytes(source.read_bytes())
        (elsewhere / Path(name).name).write_bytes(source.read_bytes()[:-1] + b"!")  # as large, with other bytes
        for file in (folder / name, elsewhere / Path(name).name):
            os.utime(file, (1e9, 1e9))
    VideoLibrary(tmp_path / "library", scorer).add([folder])
    client = serve(tmp_path / "library")
    urls = {title: f"/api/videos/{video['id']}" for title, video in by_title(client).items()}

    def statuses(title: str) -> list[int]:
        return [client.get(f"{urls[title]}/{part}").status_code for part in ("stream", "thumbnail")]

    assert statuses("a.mp4") == statuses("b.mp4") == [200, 200]
    (folder / "a.mp4").rename(tmp_path / "a")
    (folder / "a.mp4").symlink_to(elsewhere / "a.mp4")
    assert statuses("a.mp4") == [409, 409]
    (folder / "a.mp4").unlink()
    (folder / "a.mp4").symlink_to(tmp_path / "a")  # the same bytes, but whoever may write a link does not choose files
    assert statuses("a.mp4") == [409, 409]
    (folder / "a.mp4").unlink()
    os.link(elsewhere / "a.mp4", folder / "a.mp4")
    assert statuses("a.mp4") == [409, 409]
    (folder / "a.mp4").unlink()
    (tmp_path / "a").rename(folder / "a.mp4")
    assert statuses("a.mp4") == [200, 200]  # it is back
    content = (folder / "a.mp4").read_bytes()
    (folder / "a.mp4").write_bytes(content[:-1] + b"!")  # in place: the same inode, size and time
    os.utime(folder / "a.mp4", (1e9, 1e9))
    assert statuses("a.mp4") == [409, 409]
    (folder / "sub").rename(tmp_path / "sub")
    (folder / "sub").symlink_to(elsewhere)  # a folder on the way
    assert statuses("b.mp4") == [409, 409]


@pytest.mark.parametrize(
    "path",
    [
        "/api/videos/..%2f..%2fetc%2fpasswd/stream",
        "/api/videos/%2fetc%2fpasswd/stream",
        "/api/videos/../../etc/passwd",
        "/page/..%2fapp.py",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/",
        "/etc/passwd",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text and "build_app" not in answer.text


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"q": ""},
        {"q": "   "},
        {"q": "x" * 501},
        {"q": "dog", "like": "0" * 16},
        {"q": "dog", "limit": 0},
        {"q": "dog", "limit": 101},
        {"q": "dog", "mode": "smelled"},
        {"q": "dog", "threshold": "nan"},
        {"q": "dog", "min_seconds": "inf"},
        {"q": "dog", "after": "yesterday"},
        {"q": "dog", "after": "0"},
        {"q": "dog", "thresh": "none"},  # a slip of the pen is told, not passed over
        {"like": "../../etc/passwd"},
    ],
)
def test_a_bad_search_is_told(client: TestClient, asked: dict):
    refused(client.get("/api/search", params=asked), 422)


@pytest.mark.parametrize(
    "asked", ["", "video={}", "video={}&start=1", "video={}&end=2", "q=dog", "video={}&q=a&like={}"]
)
def test_a_curve_without_its_parameters_is_told(client: TestClient, asked: str):
    video = by_title(client)["pancake.mp4"]["id"]
    refused(client.get(f"/api/curve?{asked.format(video, video)}"), 422)


@pytest.mark.parametrize(
    "asked", ["search?q=dog&q=cat", "videos?limit=1&limit=2", "curve?q=a&q=a", "uploads?name=a&name=b"]
)
def test_a_parameter_given_twice_is_told(serve: Client, tmp_path: Path, asked: str):
    told = refused(serve(uploads=tmp_path / "up").get(f"/api/{asked}"), 422)
    assert "more than once" in told["detail"]


def test_an_upload_that_announces_an_absurd_size_is_told(serve: Client, tmp_path: Path):
    client = serve(uploads=tmp_path / "up")
    headers = {"X-Mmpt": "1", "Content-Length": "9" * 5000}
    refused(client.post("/api/uploads", content=b"no video", headers=headers), 415)


def test_head_is_answered_wherever_get_is_with_the_same_headers_and_no_body(client: TestClient):
    video = by_title(client)["pancake.mp4"]["id"]
    base = f"/api/videos/{video}"
    paths = ["/", "/docs", "/login", "/favicon.ico", "/page/app.js", "/page/none.js", "/api/health", "/api/library"]
    paths += [
        "/api/openapi.json",
        "/api/videos",
        base,
        f"{base}/thumbnail?width=160",
        f"{base}/stream",
        f"{base}/captions",
    ]
    paths += ["/api/search?q=flip+the+pancake&mode=said", "/api/search", f"/api/curve?video={video}&q=dog", "/nowhere"]
    for path in paths:
        whole, head = client.get(path), client.head(path)
        timed = "/api/search?q" in path  # the answer holds how long it took
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert timed or head.headers == whole.headers, path
    text = client.get("/api/metrics").text
    assert 'method="HEAD",route="/api/library",status="200"' in text


def test_head_reads_nothing_of_the_video_and_passes_over_ranges(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    url = f"/api/videos/{by_title(client)['pancake.mp4']['id']}/stream"
    size = len(client.get(url).content)
    monkeypatch.setattr(streaming.os, "pread", None)
    head = client.head(url, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "GET, HEAD, OPTIONS"), ("/api/uploads", "GET, HEAD, POST, OPTIONS"), ("/login", "GET, HEAD, POST, OPTIONS")],
)
def test_options_and_refused_methods_say_what_is_allowed(serve: Client, tmp_path: Path, path: str, allowed: str):
    client = serve(uploads=tmp_path / "up")
    answer = client.options(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allowed, b"")
    assert "access-control-allow-origin" not in answer.headers
    answer = client.delete(path, headers={"X-Mmpt": "1"})
    refused(answer, 405)
    assert answer.headers["allow"] == allowed
    refused(client.options("/nowhere"), 404)


@pytest.mark.parametrize("words", ['"', "'; DROP TABLE videos; --", "a AND (b", "*", "\x00", "🥞", "\u202e", MARKUP])
def test_hostile_words_are_words(client: TestClient, words: str):
    for mode in ("seen", "said", "both"):
        assert client.get("/api/search", params={"q": words, "mode": mode}).status_code == 200, (words, mode)


def test_what_another_process_adds_is_seen(serve: Client, own_library: Path, scorer: Scorer, tmp_path: Path):
    from mmpt.video.writer import write_video

    client = serve(own_library)
    before = client.get("/api/library").json()
    write_video(tmp_path / "new.mp4", frames(4, seed=9), fps=FPS)
    other = VideoLibrary(own_library, scorer)
    other.add([tmp_path / "new.mp4"])
    after = client.get("/api/library").json()
    assert (after["videos"], before["videos"]) == (4, 3)
    assert after["version"] > before["version"]
    asked = {"q": "text", "mode": "seen", "threshold": "none", "folder": str(tmp_path)}
    assert [m["video"]["title"] for m in client.get("/api/search", params=asked).json()["moments"]] == ["new.mp4"]
    other.remove(tmp_path / "new.mp4")
    assert client.get("/api/search", params=asked).json()["moments"] == []


def test_an_empty_library_answers(serve: Client, tmp_path: Path):
    client = serve(tmp_path / "none")
    assert client.get("/api/library").json()["videos"] == 0
    assert client.get("/api/search", params={"q": "dog"}).json()["moments"] == []
    assert client.get("/api/videos").json() == {"total": 0, "videos": []}


def test_many_at_a_time_all_get_the_same(client: TestClient):
    asked = {"q": "boys pour water", "mode": "both", "threshold": "none"}
    first = client.get("/api/search", params=asked).json()["moments"]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.get("/api/search", params=asked), range(48)))
    assert [answer.status_code for answer in answers] == [200] * 48
    assert all(answer.json()["moments"] == first for answer in answers)


def test_too_many_at_a_time_are_429_at_once(serve: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hall, "SEARCHES_WAITING", 0)
    client = serve(searches=1)
    place = client.app.state.hall  # pyright: ignore[reportAttributeAccessIssue]
    inside, free = threading.Event(), threading.Event()
    real = place.library.search_many

    def slow(queries):
        inside.set()
        assert free.wait(30)
        return real(queries)

    monkeypatch.setattr(place.library, "search_many", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.get, "/api/search", params={"q": "dog"})
        assert inside.wait(30)
        second = client.get("/api/search", params={"q": "dog"})
        refused(second, 429)
        assert int(second.headers["retry-after"]) >= 1
        assert client.get("/api/library").status_code == 200  # the rest still answers
        free.set()
        assert first.result().status_code == 200


def test_one_client_that_asks_too_fast_is_429(serve: Client):
    client = serve(per_second=0.1, burst=3)
    statuses = [client.get("/api/search", params={"q": "dog", "mode": "said"}).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_metrics_count_what_was_asked(client: TestClient):
    client.get("/api/search", params={"q": "dog", "mode": "said"})
    client.get("/nowhere")
    text = client.get("/api/metrics").text
    assert 'mmpt_requests_total{method="GET",route="/api/search",status="200"} 1' in text
    assert 'route="other",status="404"' in text
    assert "mmpt_videos 3" in text


def test_an_unforeseen_error_says_nothing_of_the_machine(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    place = client.app.state.hall  # pyright: ignore[reportAttributeAccessIssue]

    def broken(queries):
        raise RuntimeError("secret /home/ann")

    monkeypatch.setattr(place.library, "search_many", broken)
    quiet = TestClient(client.app, base_url="http://localhost", raise_server_exceptions=False)
    answer = quiet.get("/api/search", params={"q": "dog"})
    told = refused(answer, 500)
    assert "secret" not in str(told)
    assert answer.headers["x-content-type-options"] == "nosniff"
