"""Fetch a file over HTTP: several addresses, resumed where it was cut, and in place only when whole."""

import contextlib
import errno
import http.client
import json
import logging
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mmpt.utils.files import content_hash

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file at a time are not noticed there
    fcntl = None

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 4  # tries in a row that bring nothing new, per address
BACKOFF = 1.0  # seconds before the first further try; doubled each time
SCHEMES = ("http", "https", "file")
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}

_LASTING = (str, socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)  # reasons of a URLError
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Progress = Callable[[int, int | None], None]
log = logging.getLogger(__name__)


class DownloadError(OSError):
    """No address gave the file."""


class _FailedError(Exception):
    """This address will not give the file."""


class _CutError(Exception):
    """The transfer ended early; another try may go on."""


@dataclass
class _Note:
    """What is remembered beside a partial file, to know whether the server still has the same one."""

    url: str = ""
    etag: str = ""
    modified: str = ""
    total: int | None = None

    def same_file(self, headers: Message) -> bool:
        for seen, now in ((self.etag, headers.get("ETag")), (self.modified, headers.get("Last-Modified"))):
            if seen and now:
                return seen == now
        return True


@dataclass(frozen=True)
class _Job:
    """One file to fetch, and where its first part lies."""

    target: Path
    size: int | None
    sha256: str | None
    check: Callable[[Path], None] | None
    on_progress: Progress
    timeout: float

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def note(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial.json")

    def read_note(self) -> _Note:
        try:
            return _Note(**json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            return _Note()

    def problem(self, path: Path) -> str | None:
        """Say why a whole file is not the right one."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"has {size:,} bytes, not the expected {self.size:,}"
        if self.sha256 is not None and (got := content_hash(path)) != self.sha256.lower():
            return f"has the SHA-256 {got}, not the expected {self.sha256.lower()}"
        if self.check is not None:
            try:
                self.check(path)
            except ValueError as error:
                return str(error)
        return None


def fetch(
    urls: Sequence[str],
    target: str | os.PathLike[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], None] | None = None,
    on_progress: Progress | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
) -> Path:
    """Fetch a file, unless it is there already.

    What has come so far is kept in ``<target>.partial``. A further try or call goes on from there when the server
    still has the same file (ETag or Last-Modified) and can send parts, and starts again otherwise.

    Args:
        urls: http, https or file addresses of the same file, tried in order.
        target: where it goes; its folder is made when absent.
        size: the right number of bytes, if known.
        sha256: the right SHA-256 in hexadecimal, if known.
        check: looks at the whole file before it is put in place; raises ValueError when it is the wrong thing.
        on_progress: called with the bytes so far and the bytes in all (None when unknown).
        timeout: seconds without a byte after which a connection counts as cut.
        retries: tries in a row that bring nothing new, per address, before the next address.
        backoff: seconds before the first further try; doubled each time.

    Returns:
        `target`.

    Raises:
        ValueError: an address of another kind, or `target` exists and is not the right file.
        DownloadError: no address gave the file; the message lists why for each. `target` is untouched.
    """
    job = _Job(Path(target), size, sha256, check, on_progress or (lambda done, total: None), timeout)
    for url in urls:
        if urlsplit(url).scheme not in SCHEMES:
            raise ValueError(f"cannot fetch {url!r}: an address begins with one of {', '.join(SCHEMES)}")
    if not _is_there(job):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(job.partial) as file:
            if not _is_there(job):  # another process may have finished it in the meantime
                _from_any(urls, job, file, retries, backoff)
    return job.target


def _is_there(job: _Job) -> bool:
    if not job.target.exists():
        return False
    if problem := job.problem(job.target):
        raise ValueError(f"{job.target} exists, but {problem}; move it away to fetch it again")
    log.info("%s is there already", job.target)
    return True


def _from_any(urls: Sequence[str], job: _Job, file: BinaryIO, retries: int, backoff: float) -> None:
    failures = []
    for url in urls:
        try:
            _persist(url, job, file, retries, backoff)
        except _FailedError as error:
            failures.append(f"  {url}: {error}")
            continue
        if problem := job.problem(job.partial):
            failures.append(f"  {url}: what came {problem}")
            _discard(job, file)
            continue
        os.replace(job.partial, job.target)
        job.note.unlink(missing_ok=True)
        return
    kept = job.partial.stat().st_size
    if kept == 0:
        job.partial.unlink()
        job.note.unlink(missing_ok=True)
    hint = f"\n{kept:,} bytes are kept in {job.partial}; the same command goes on from there" if kept else ""
    raise DownloadError(f"{job.target} could not be fetched:\n" + "\n".join(failures or ["  no address given"]) + hint)


def _persist(url: str, job: _Job, file: BinaryIO, retries: int, backoff: float) -> None:
    """Transfer from one address, again after each cut, until it is whole or several tries brought nothing new."""
    most, idle = file.seek(0, os.SEEK_END), 0
    while True:
        try:
            return _transfer(url, job, file)
        except _CutError as cut:
            reached = file.seek(0, os.SEEK_END)
            idle = 0 if reached > most else idle + 1
            most = max(most, reached)
            if idle > retries:
                raise _FailedError(str(cut)) from cut
            log.info("%s: %s; trying again", url, cut)
            time.sleep(backoff * 2 ** max(idle - 1, 0))


def _transfer(url: str, job: _Job, file: BinaryIO) -> None:
    note = job.read_note()
    validator = note.modified if note.etag.startswith("W/") or not note.etag else note.etag
    start = file.seek(0, os.SEEK_END) if validator else 0
    if start and start == note.total and note.url == url:
        return
    headers = {"User-Agent": "mmpt"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with _OPENER.open(request.Request(url, headers=headers), timeout=job.timeout) as answer:
            total = _begin(answer, start, note, url, job, file)
            _copy(answer, job, file, total)
    except HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _discard(job, file)
            raise _CutError("the server's file is shorter than what is here") from error
        _give_up(error.code in _TEMPORARY, f"{error.code} {error.reason}", error)
    except URLError as error:
        what = (
            "unknown host, or no connection to the internet"
            if isinstance(error.reason, socket.gaierror)
            else str(error.reason)
        )
        _give_up(not isinstance(error.reason, _LASTING) and urlsplit(url).scheme != "file", what, error)
    except http.client.InvalidURL as error:
        _give_up(False, str(error), error)
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        _give_up(True, f"the connection was cut ({str(error) or type(error).__name__})", error)


def _begin(answer: Any, start: int, note: _Note, url: str, job: _Job, file: BinaryIO) -> int | None:
    """Judge the answer's head, put `file` where its body belongs, and give the whole file's length."""
    headers: Message = answer.headers
    length = headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    if headers.get_content_type() == "text/html":
        raise _FailedError("a web page came, not the file (a sign-in page, or it has moved?)")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _FailedError(f"the server compresses it ({headers['Content-Encoding']})")
    if getattr(answer, "status", None) == http.HTTPStatus.PARTIAL_CONTENT:
        begin, total = _content_range(headers)
        if begin != start or not note.same_file(headers) or (note.total and total and note.total != total):
            _discard(job, file)
            raise _CutError("the server has another file than before")
    else:
        start = 0
    if job.size is not None and total is not None and total != job.size:
        raise _FailedError(f"it has {total:,} bytes, not the expected {job.size:,}")
    _need_space(job, (total or 0) - start)
    file.seek(start)
    file.truncate()
    seen = _Note(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), total)
    job.note.write_text(json.dumps(asdict(seen)))
    return total


def _copy(answer: Any, job: _Job, file: BinaryIO, total: int | None) -> None:
    done = file.tell()
    job.on_progress(done, total)
    with _space_told(job):
        try:
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                job.on_progress(done, total)
        finally:
            file.flush()
    if total is not None and done < total:
        raise _CutError(f"the connection was cut at {done:,} of {total:,} bytes")
    os.fsync(file.fileno())


@contextlib.contextmanager
def _space_told(job: _Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DownloadError(f"no space left for {job.target} ({error}); {job.partial} is kept") from error
        raise


def _need_space(job: _Job, size: int) -> None:
    free = shutil.disk_usage(job.target.parent).free
    if size > free:
        raise DownloadError(
            f"{job.target} needs {size:,} more bytes, and {job.target.parent} has {free:,} free; make room or choose "
            "another folder"
        )


def _content_range(headers: Message) -> tuple[int | None, int | None]:
    """Read ``bytes 100-999/1000``."""
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    begin = span.partition("-")[0]
    if unit != "bytes" or not begin.isdigit():
        return None, None
    return int(begin), int(total) if total.isdigit() else None


def _discard(job: _Job, file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
    job.note.unlink(missing_ok=True)


def _give_up(temporary: bool, what: str, error: Exception) -> None:
    raise (_CutError if temporary else _FailedError)(what) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open a file for adding to it, for one process at a time."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadError(f"another process is fetching {path} right now") from error
        yield file


class _Redirect(request.HTTPRedirectHandler):
    """Follow to other places, but never from an encrypted one to one that is not."""

    def redirect_request(self, req: request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise HTTPError(req.full_url, code, f"leads to an address without encryption, {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """Know http, https and file only; the standard opener knows ftp and data too."""
    opener = request.OpenerDirector()
    for handler in (
        *(request.ProxyHandler, request.UnknownHandler, request.HTTPHandler, request.HTTPSHandler),
        *(request.HTTPDefaultErrorHandler, _Redirect, request.FileHandler, request.HTTPErrorProcessor),
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()
