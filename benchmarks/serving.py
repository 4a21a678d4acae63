"""A query from text to results in the page: python -m benchmarks.serving [--windows 200000] [--folder DIR].

A VideoCLIP of the published size (its text tower is that of bert-base), with seeded weights, and a library of invented
videos (see benchmarks.search), all with the pictures of a rendered one. In turn: the text tower alone, the library's
own search, the API over HTTP, and the page in a browser, from the words until the cards are drawn (pictures come
later). Another process's video, until a running server finds it, comes last.
"""

import argparse
import json
import shutil
import socket
import statistics
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, sync_playwright

from benchmarks.bars import against
from benchmarks.indexing import make_scorer, render
from benchmarks.paired import run_paired, show
from benchmarks.search import ADDING_S, BATCH, SEEING_S, WINDOWS, make_entries, topics
from mmpt.search.library import VideoLibrary
from mmpt.server.app import build_app
from mmpt.server.settings import Settings

WORDS = "a woman pours the batter into a pan and flips the pancake number"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ADDED = 1000  # windows put in at once
MOMENTS = 24  # that the page asks for
PAGE_MS = 300  # bar on two cores: from the words to results in the page


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=200_000)
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--folder", type=Path, help="on the disk to use (the system's for temporary files)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="serving-") as work:
        library = make_library(Path(work), args.windows)
        settings = Settings(per_second=1e6, burst=1_000_000)
        app = build_app(library, settings)
        app.state.hall.warm_up()
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True).start()
        compare(library, url, args.turns)
        measure_adding(library, url)


def make_library(work: Path, windows: int) -> VideoLibrary:
    """Make a library of one real video and many invented ones."""
    library = VideoLibrary(work / "library", make_scorer(work))
    video = render(work / "rendered.mp4")
    library.add([video])
    about = {"path": str(video), "modified": video.stat().st_mtime}  # as the server knows that the file is the same
    centres, videos = topics(), windows // WINDOWS
    for first in range(0, videos, BATCH):
        entries = make_entries(first, min(BATCH, videos - first), centres)
        library.store.put_many([replace(entry, record=replace(entry.record, **about)) for entry in entries])
    return library


def compare(library: VideoLibrary, url: str, turns: int) -> None:
    """Time one query at each level; the words are new each time."""
    number = iter(range(1_000_000))

    def words() -> str:
        return f"{WORDS} {next(number)}"

    def over_http() -> int:
        return len(
            fetch(f"{url}/api/search?{urllib.parse.urlencode({'q': words(), 'limit': MOMENTS, 'threshold': 'none'})}")
        )

    forms = {
        "the text tower": lambda: library.scorer.encode_text([words()]),
        "the library's search": lambda: library.search(words(), limit=MOMENTS, threshold=None),
        "GET /api/search": over_http,
    }
    with sync_playwright() as playwright:
        if CHROMIUM is not None:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page()
            page.goto(url)
            forms["the page"] = lambda: in_page(page, words())
        timed = run_paired(forms, turns=turns, warmup=3)
    rows = [[entry.name, f"{entry.seconds * 1000:.0f} ms", f"{1 / entry.ratio:.2f}", ""] for entry in timed]
    for row, entry in zip(rows, timed, strict=True):
        if entry.name == "the page":
            row[-1] = against(entry.seconds * 1000, PAGE_MS, "ms")
    left_out = "" if CHROMIUM else "; the page is left out, since there is no chromium"
    title = f"A warm query over {len(library.matrix):,} windows{left_out}"
    show(title, ["level", "p50", "times the text tower", "bar"], rows)


def in_page(page: Page, text: str) -> None:
    """Search in the page for what comes closest, and wait until the cards for these words are drawn."""
    cards = page.evaluate(
        """(text) => new Promise((done) => {
          const headline = document.querySelector("#headline");
          const watch = new MutationObserver(() => {
            if (!headline.textContent.includes(text)) return;
            watch.disconnect();
            const cards = document.querySelectorAll("#cards .card:not(.skeleton)").length;
            requestAnimationFrame(() => setTimeout(() => done(cards)));
          });
          watch.observe(headline, { childList: true, characterData: true, subtree: true });
          history.pushState(null, "", `/?${new URLSearchParams({ q: text, all: "1" })}`);
          dispatchEvent(new PopStateEvent("popstate"));
        })""",
        text,
    )
    assert cards == MOMENTS, cards


def measure_adding(library: VideoLibrary, url: str) -> None:
    """Put windows in as another process would, and ask the server until it knows them."""
    other = VideoLibrary(library.address, library.scorer)
    centres, putting, seeing = topics(), [], []
    for turn in range(5):
        entries = make_entries(20_000_000 + turn * 100, ADDED // WINDOWS, centres)
        begin = time.perf_counter()
        other.store.put_many(entries)
        put = time.perf_counter()
        before = fetch(f"{url}/api/search?{urllib.parse.urlencode({'q': WORDS, 'threshold': 'none', 'mode': 'seen'})}")
        assert before["searched"] == fetch(f"{url}/api/library")["windows"]
        putting.append(put - begin)
        seeing.append(time.perf_counter() - put)
    put, seen = statistics.median(putting), statistics.median(seeing)
    rows = [
        ["put in", f"{put:.2f} s", against(put, ADDING_S, "s")],
        ["until a search of the running server has them", f"{seen:.2f} s", against(seen, SEEING_S, "s")],
    ]
    show(f"{ADDED:,} windows of another process", ["what", "median", "bar"], rows)


def fetch(url: str) -> dict:
    """Get JSON."""
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
