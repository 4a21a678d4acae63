"""Downloads against a real server on this machine, with the faults that real ones have."""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpt.utils import download
from mmpt.utils.download import DownloadError, fetch
from tests.utils.servers import Site, serve

CONTENT = os.urandom(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/runs/checkpoint_best.pt"
ETAG = {"ETag": '"one"'}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site(files={PATH: CONTENT}, headers=dict(ETAG))) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "deep" / "checkpoint_best.pt"


def get(site: Site, target: Path, **options: Any) -> Path:
    return fetch([site.url + PATH], target, **{"backoff": 0.001, "timeout": 5, **options})


def only(target: Path) -> bool:
    """Whether nothing but the target lies in its folder."""
    return [path.name for path in target.parent.iterdir()] == [target.name]


def test_plain(site: Site, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    assert get(site, target, size=len(CONTENT), sha256=SHA256.upper(), on_progress=lambda *a: seen.append(a)) == target
    assert target.read_bytes() == CONTENT
    assert only(target)
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert oct(target.stat().st_mode)[-3:] == oct(0o666 & ~umask())[-3:]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_complete_already_does_nothing(site: Site, target: Path) -> None:
    get(site, target)
    before = target.stat().st_mtime_ns
    site.asked.clear()
    assert get(site, target, sha256=SHA256) == target
    assert site.asked == []
    assert target.stat().st_mtime_ns == before


def test_another_file_in_place_is_kept(site: Site, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"the user's own")
    for options in ({"size": len(CONTENT)}, {"sha256": SHA256}):
        with pytest.raises(ValueError, match=r"exists, but has .* not the expected"):
            get(site, target, **options)
    assert target.read_bytes() == b"the user's own"
    assert site.asked == []


def test_cut_half_way_goes_on_in_the_same_call(site: Site, target: Path) -> None:
    site.cuts = [400_000]
    get(site, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [None, "bytes=400000-"]
    assert only(target)


def test_cut_half_way_goes_on_in_the_next_call(site: Site, target: Path) -> None:
    site.cuts = [400_000, 0]
    with pytest.raises(DownloadError, match="400,000 bytes are kept in") as error:
        get(site, target, retries=0)
    assert "the connection was cut" in str(error.value)
    assert not target.exists()
    partial = target.with_name("checkpoint_best.pt.partial")
    assert partial.read_bytes() == CONTENT[:400_000]
    site.asked.clear()
    seen: list[int] = []
    get(site, target, on_progress=lambda done, _: seen.append(done))
    assert [asked for _, asked in site.asked] == ["bytes=400000-"]
    assert seen[0] == 400_000
    assert target.read_bytes() == CONTENT
    assert only(target)


def test_a_last_modified_date_is_enough_to_go_on(site: Site, target: Path) -> None:
    site.headers = {"Last-Modified": "Wed, 21 Oct 2020 07:28:00 GMT", "ETag": 'W/"weak"'}
    site.cuts = [300_000]
    get(site, target, sha256=SHA256)
    assert [asked for _, asked in site.asked] == [None, "bytes=300000-"]


def test_without_any_validator_it_starts_again(site: Site, target: Path) -> None:
    site.headers = {}
    site.cuts = [300_000]
    get(site, target, sha256=SHA256)
    assert [asked for _, asked in site.asked] == [None, None]


def test_many_cuts_with_progress_are_survived(site: Site, target: Path) -> None:
    site.cuts = [90_000] * 11
    get(site, target, retries=1, sha256=SHA256)
    assert len(site.asked) == 12


def test_a_server_without_range_support(site: Site, target: Path) -> None:
    site.ranges = False
    site.cuts = [700_000, 600_000]
    get(site, target, sha256=SHA256)
    assert [asked for _, asked in site.asked] == [None, "bytes=700000-", "bytes=600000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_never_gets_through_ends(site: Site, target: Path) -> None:
    site.ranges = False
    site.cuts = [500_000] * 50
    with pytest.raises(DownloadError, match="500,000 of 1,000,000 bytes"):
        get(site, target, retries=2)
    assert len(site.asked) == 4


@pytest.mark.parametrize("if_range", [True, False], ids=["answers If-Range", "ignores If-Range"])
def test_a_file_that_changed_between_tries(site: Site, target: Path, if_range: bool) -> None:
    site.cuts, site.if_range = [400_000], if_range
    with pytest.raises(DownloadError):
        get(site, target, retries=-1)
    newer = os.urandom(900_000)
    site.files[PATH], site.headers = newer, {"ETag": '"two"'}
    get(site, target)
    assert target.read_bytes() == newer
    assert only(target)


def test_a_file_that_became_shorter_than_the_part(site: Site, target: Path) -> None:
    site.cuts, site.if_range = [400_000], False
    with pytest.raises(DownloadError):
        get(site, target, retries=-1)
    site.files[PATH] = b"short"
    get(site, target)
    assert target.read_bytes() == b"short"


def test_a_part_that_is_whole_needs_no_further_request(site: Site, target: Path) -> None:
    """A process may end between the last byte and the renaming."""
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.partial").write_bytes(CONTENT)
    note = {"url": site.url + PATH, "etag": ETAG["ETag"], "modified": "", "total": len(CONTENT)}
    target.with_name(f"{target.name}.partial.json").write_text(json.dumps(note))
    get(site, target, sha256=SHA256)
    assert site.asked == []
    assert target.read_bytes() == CONTENT
    assert only(target)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"unknown": 1}'])
def test_a_part_of_unknown_origin_is_not_trusted(site: Site, target: Path, note: str) -> None:
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.partial").write_bytes(b"x" * 2_000_000)
    target.with_name(f"{target.name}.partial.json").write_text(note)
    get(site, target)
    assert target.read_bytes() == CONTENT


def test_wrong_size_is_told_before_the_transfer(site: Site, target: Path) -> None:
    with pytest.raises(DownloadError, match="it has 1,000,000 bytes, not the expected 2,000,000"):
        get(site, target, size=2_000_000)
    assert list(target.parent.iterdir()) == []


def test_wrong_size_without_a_length(site: Site, target: Path) -> None:
    site.say_length = False
    with pytest.raises(DownloadError, match="what came has 1,000,000 bytes, not the expected 2,000,000"):
        get(site, target, size=2_000_000)
    assert list(target.parent.iterdir()) == []


def test_wrong_sha256(site: Site, target: Path) -> None:
    with pytest.raises(DownloadError, match=f"has the SHA-256 {SHA256}, not the expected {'0' * 64}"):
        get(site, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_wrong_content(site: Site, target: Path) -> None:
    def check(path: Path) -> None:
        raise ValueError(f"is not a checkpoint but {path.stat().st_size} random bytes")

    with pytest.raises(DownloadError, match="what came is not a checkpoint but 1000000 random bytes"):
        get(site, target, check=check)
    assert list(target.parent.iterdir()) == []


def test_a_web_page_instead_of_the_file(site: Site, target: Path) -> None:
    site.headers["Content-Type"] = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="a web page came"):
        get(site, target)


def test_not_found_then_the_mirror_works(site: Site, target: Path) -> None:
    fetch([f"{site.url}/absent", site.url + PATH], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [path for path, _ in site.asked] == ["/absent", PATH], "a missing file is not asked for again"


def test_a_wrong_mirror_then_the_right_one(site: Site, target: Path) -> None:
    site.files["/old"] = CONTENT[::-1]
    fetch([f"{site.url}/old", site.url + PATH], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert only(target)


def test_every_failure_is_listed(site: Site, target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        site.statuses = [403]
        urls = [site.url + PATH, f"{site.url}/absent", "http://nowhere.invalid/x", closed, "http://127.0.0.1/a b"]
        with pytest.raises(DownloadError) as error:
            fetch(urls, target)
    lines = str(error.value).splitlines()
    assert str(target) in lines[0]
    assert len(lines) == 6
    for url, line, part in zip(
        urls,
        lines[1:],
        ["403 Forbidden", "404 Not Found", "unknown host", "refused", "control characters"],
        strict=True,
    ):
        assert url in line
        assert part in line
    assert list(target.parent.iterdir()) == []


def test_a_busy_server_is_asked_again(site: Site, target: Path) -> None:
    site.statuses = [503, 429]
    get(site, target, sha256=SHA256)
    assert len(site.asked) == 3


def test_a_silent_server_times_out(target: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        start = time.perf_counter()
        with pytest.raises(DownloadError, match="timed out"):
            fetch([url], target, timeout=0.1, retries=1, backoff=0.001)
    assert time.perf_counter() - start < 5


def test_redirects_are_followed_with_the_range(site: Site, target: Path) -> None:
    site.redirects["/here"] = site.url + PATH
    site.cuts = [400_000]
    fetch([f"{site.url}/here"], target, sha256=SHA256, backoff=0.001)
    assert site.asked[-2:] == [("/here", "bytes=400000-"), (PATH, "bytes=400000-")]


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirects_out_of_http_are_refused(site: Site, target: Path, place: str) -> None:
    site.redirects["/here"] = place
    with pytest.raises(DownloadError):
        fetch([f"{site.url}/here"], target)
    assert not target.exists()


def test_redirects_never_leave_encryption() -> None:
    handler = download._Redirect()
    secure = download.request.Request("https://example.org/x")
    with pytest.raises(download.HTTPError, match="without encryption"):
        handler.redirect_request(secure, None, 302, "Found", {}, "http://example.org/x")
    assert handler.redirect_request(secure, None, 302, "Found", {}, "https://example.org/y") is not None


def test_a_file_address_is_copied(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "with space" / "source.pt"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    fetch([source.as_uri()], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="No such file"):
        fetch([(tmp_path / "absent").as_uri()], tmp_path / "other")


@pytest.mark.parametrize("url", ["ftp://example.org/x", "data:text/plain,x", "/etc/hostname", "s3://bucket/x"])
def test_other_addresses_are_refused(url: str, target: Path) -> None:
    with pytest.raises(ValueError, match="an address begins with one of http, https, file"):
        fetch([url], target)


def test_no_space_is_told_before_the_transfer(site: Site, target: Path) -> None:
    site.say_length = False
    site.headers["Content-Length"] = str(10**18)
    with pytest.raises(DownloadError, match=r"needs 1,000,000,000,000,000,000 more bytes, and .* free; make room"):
        get(site, target)


def test_no_space_half_way_is_told(site: Site, target: Path) -> None:
    """A limit on the size of files stands for a full disk; both fail in the middle of writing."""
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(DownloadError, match="no space left for"):
            get(site, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not target.exists()
    get(site, target, sha256=SHA256)
    assert site.asked[-1][1] is not None, "what fitted was used"


def test_two_processes_do_not_write_one_file(site: Site, target: Path) -> None:
    def second(done: int, total: int | None) -> None:
        with pytest.raises(DownloadError, match="another process is fetching"):
            get(site, target)

    get(site, target, on_progress=second)
    assert target.read_bytes() == CONTENT


def test_an_interrupted_call_keeps_the_part(site: Site, target: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(site, target, on_progress=stop)
    assert not target.exists()
    kept = target.with_name(f"{target.name}.partial").stat().st_size
    assert kept > 500_000
    site.asked.clear()
    get(site, target, sha256=SHA256)
    assert site.asked == [(PATH, f"bytes={kept}-")]


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=6), ranges=st.booleans(), validated=st.booleans())
def test_whatever_is_cut_the_file_is_right_or_absent(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool, validated: bool
) -> None:
    target = tmp_path_factory.mktemp("cut") / "x"
    content = CONTENT[:50_000]
    with serve(Site({PATH: content}, ETAG if validated else {}, ranges=ranges, cuts=list(cuts))) as site:
        for _ in range(8):
            try:
                get(site, target, retries=0)
                break
            except DownloadError:
                assert not target.exists()
    assert target.read_bytes() == content
    assert only(target)


def test_threads_asking_for_one_file_get_one(site: Site, target: Path) -> None:
    results: list[str] = []

    def work(note: Callable[[str], None]) -> None:
        try:
            get(site, target)
            note("whole")
        except DownloadError as error:
            note("another process" if "another process" in str(error) else str(error))

    threads = [threading.Thread(target=work, args=(results.append,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "whole" in results
    assert set(results) <= {"whole", "another process"}
    assert target.read_bytes() == CONTENT
