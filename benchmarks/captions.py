"""Captions: cleaning and cutting into word pieces, against the tokenizer on one core and against the disk; peak memory.

The captions are made up of the vocabulary's whole words, 100 a video, as automatic captions are: a line and a half
long, and beginning with the last word of the one before.

Run: python -m benchmarks.captions [--videos 1000] [--bert-name FOLDER] [--turns 5]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import run_paired, show
from mmpt.text.captionfiles import read_entries
from mmpt.text.captions import parse_captions
from mmpt.text.cleaning import clean
from mmpt.text.pretokenize import open_store, write_shards
from mmpt.text.wordpieces import MAX_CHARS, Encoder
from mmpt.utils.shardedtensor import write_meta

CLIPS = 100  # captions of a video
SHARD = 1000  # videos; published shards hold 4096
RATES = ("form", "captions/s", "of one core's tokenizer", "MB/s written")
PEAKS = ("command", "captions", "peak MB")


def make_corpus(path: Path, words: list[str], videos: int) -> None:
    """Write a raw_caption.json.

    Args:
        path: the file.
        words: to make captions of.
        videos: how many.
    """
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for number in range(videos):
            drawn = [words[index] for index in (rng.zipf(1.3, CLIPS * 9) - 1) % len(words)]
            texts = [" ".join(drawn[clip * 8 : clip * 8 + 9]) for clip in range(CLIPS)]  # one word twice
            starts = np.round(np.cumsum(rng.uniform(1.5, 3.5, CLIPS)), 2)
            captions = {"start": starts.tolist(), "end": np.round(starts + 4, 2).tolist(), "text": texts}
            file.write(f"{',' if number else '{'}\n{json.dumps(f'v{number:07}')}: {json.dumps(captions)}")
        file.write("\n}\n")


def rates(folder: Path, bert_name: str, videos: int, turns: int) -> list[tuple[str, ...]]:
    """Time the forms in turn.

    Args:
        folder: to work in.
        bert_name: whose vocabulary is used.
        videos: how many.
        turns: counted ones.

    Returns:
        Rows of `RATES`.
    """
    encoder = Encoder(bert_name)
    raw, cleaned = folder / "raw_caption.json", folder / "raw_caption_dedup.pkl"
    make_corpus(raw, _words(encoder), videos)
    clean(read_entries(raw), [cleaned])
    texts = [text for entry in read_entries(cleaned) for text in parse_captions(entry.value, backwards=True).text]
    ids = [entry.video_id for entry in read_entries(cleaned)]
    meta = {number: ids[begin : begin + SHARD] for number, begin in enumerate(range(0, len(ids), SHARD))}
    size = sum(file.stat().st_size for file in _tokenize(cleaned, meta, encoder, folder / "shards"))
    forms: dict[str, Callable[[], Any]] = {
        "the tokenizer, one core, texts in memory": lambda: _one_core(encoder, texts),
        "the disk: the same bytes": lambda: _write(folder / "plain", size),
        "captions tokenize": lambda: _tokenize(cleaned, meta, encoder, folder / "shards"),
        "captions dedup, one process": lambda: clean(read_entries(raw), [cleaned], workers=1),
    }
    written = [0, size, size, cleaned.stat().st_size]
    counts = [len(texts)] * 3 + [videos * CLIPS]
    timed = run_paired(forms, turns=turns)
    rows = []
    for form, count, size in zip(timed, counts, written, strict=True):
        ratio = form.ratio * count / len(texts)
        speed = f"{size / form.seconds / 1e6:.0f}" if size else ""
        rows.append((form.name, f"{count / form.seconds:,.0f}", f"{ratio:.0%}", speed))
    return rows


def peaks(folder: Path, bert_name: str, videos: int) -> list[tuple[str, ...]]:
    """Measure the peak memory of both commands, each in a process of its own, with 1 and 4 times the videos.

    Args:
        folder: to work in.
        bert_name: whose vocabulary is used.
        videos: how many at first.

    Returns:
        Rows of `PEAKS`.
    """
    words = _words(Encoder(bert_name))
    rows = []
    for count in (videos, 4 * videos):
        work = folder / str(count)
        work.mkdir()
        make_corpus(work / "raw_caption.json", words, count)
        names = [f"v{number:07}" for number in range(count)]
        write_meta(work / "train_meta.pkl", {n: names[n * SHARD : (n + 1) * SHARD] for n in range(-(-count // SHARD))})
        cleaned = work / "raw_caption_dedup.pkl"
        for command in (
            ["dedup", str(work / "raw_caption.json"), "-o", str(cleaned)],
            ["tokenize", str(cleaned), "--bert-name", bert_name, "-o", str(work)],
        ):
            rows.append((f"captions {command[0]}", f"{count * CLIPS:,}", f"{_peak(command):.0f}"))
    return rows


def _words(encoder: Encoder) -> list[str]:
    vocabulary = encoder.vocabulary()
    return sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 1)


def _one_core(encoder: Encoder, texts: list[str | None]) -> int:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        return sum(len(encoder(texts[begin : begin + 4096])) for begin in range(0, len(texts), 4096))
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = "true"


def _write(path: Path, size: int) -> None:
    block = bytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _tokenize(source: Path, meta: dict[int, list[str]], encoder: Encoder, folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    with open_store(source, folder) as store:
        write_shards(store, {"train": meta}, folder, encoder)
    return folder.glob("*.npy")


def _peak(words: list[str]) -> float:
    """Peak resident megabytes of the command and of its largest process."""
    # A child of a child: what RUSAGE_CHILDREN gives is the largest of all children so far.
    code = (
        "import resource, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'mmpt', 'captions', *{words!r}], check=True, stdout=sys.stderr)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--bert-name", default="bert-base-uncased")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        header = f"captions of {args.videos:,} videos, {MAX_CHARS} letters of each are cut"
        show(header, RATES, rates(Path(place), args.bert_name, args.videos, args.turns))
        show("peak memory", PEAKS, peaks(Path(place), args.bert_name, args.videos))
