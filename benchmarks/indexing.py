"""What indexing costs beside extraction: python -m benchmarks.indexing [--turns 3] [--folder DIR].

First, real videos (rendered ones where there are none) through S3D and a VideoCLIP of the published size, both with
seeded weights: extraction alone, and a library taking the same videos in, in turn and without the feature cache. Then
the windows of a long video alone, against what S3D takes for as many seconds. Last, a library of many videos of random
vectors: putting 1,000 windows in, until another process's store has read them.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.bars import against
from benchmarks.paired import run_paired, show
from benchmarks.s3d import seeded_s3d
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.models.pretrained import make_aligner
from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.search.records import Caption, VideoRecord
from mmpt.search.store import Store
from mmpt.search.store_tables import Entry
from mmpt.search.windows import LENGTHS, cut_all, encode
from mmpt.text.tokenizer import load_tokenizer
from mmpt.video.backbones.s3d import S3DBackbone
from mmpt.video.writer import write_video

VIDEOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
REAL = ("v_GGSY1Qvo990.mp4", "flipping_a_pancake.mkv")
LONG = 600  # seconds of the long video
DIM, MANY, EACH = 768, 10_000, 20  # width, videos and windows of each in the large library
WINDOWS = 1000  # put in at once
COST = 1.1  # bar: indexing takes at most so many times what extraction takes
PUTTING_MS = 1000  # bar for the windows that are put in at once
SEED = 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (the system's folder for such files)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="indexing-") as folder:
        work = Path(folder)
        compare(work, args.turns)
        commit(work, args.turns)


def compare(work: Path, turns: int) -> None:
    """Extract, and index, the same videos in turn; and encode a long video's windows alone."""
    scorer = make_scorer(work)
    videos = [VIDEOS / name for name in REAL] if VIDEOS.is_dir() else [render(work / "rendered.mp4")]
    libraries = iter(range(1_000_000))

    def index() -> int:
        library = VideoLibrary(work / f"library{next(libraries)}", scorer)
        report = library.add(videos)
        assert not report.failed, report.failed
        return report.seconds

    forms = {"extraction": lambda: sum(scorer.features(video).seconds for video in videos), "indexing": index}
    timed = run_paired(forms, turns=turns)
    rows = [
        (
            form.name,
            str(form.result),
            f"{form.seconds:.2f}",
            f"{form.seconds / form.result:.3f}",
            f"{1 / form.ratio:.3f}",
            against(1 / form.ratio, COST) if form.name == "indexing" else "",
        )
        for form in timed
    ]
    draws = np.random.default_rng(SEED)
    features = draws.normal(size=(LONG, 512)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    begin = time.perf_counter()
    encode(scorer, features, LENGTHS)
    wall = time.perf_counter() - begin
    plain = timed[0].seconds / timed[0].result
    share = (plain + wall / LONG) / plain
    name = f"windows of a long video ({len(cut_all(LONG, LENGTHS)):,})"
    rows.append((name, str(LONG), f"{wall:.2f}", f"{wall / LONG:.3f}", f"{share:.3f}", against(share, COST)))
    header = ("", "s of video", "wall s", "s per s of video", "extraction = 1", "bar")
    show("Indexing against extraction alone, S3D and VideoCLIP at full size", header, rows)


def make_scorer(work: Path) -> Scorer:
    """Make a VideoCLIP and an S3D of the published sizes, with seeded weights."""
    bert = work / "bert"
    bert.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    (bert / "vocab.txt").write_text("\n".join(words) + "\n")
    (bert / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}\n')
    config = MMPTConfig(
        BertConfig(), num_hidden_video_layers=6, features={"backbone": "s3d", "l2_normalized": True}, cls_token_id=2,
        sep_token_id=3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model(config)
    tokenizer = load_tokenizer(str(bert))
    aligner = make_aligner(model, tokenizer)
    return Scorer(model, tokenizer, aligner, S3DBackbone(seeded_s3d()), name="seeded", use_cache=False)


def render(path: Path) -> Path:
    """Render a video of noise that moves, 20 s long."""
    draws = np.random.default_rng(SEED)
    ground = draws.integers(0, 256, (240, 640, 3), dtype=np.uint8)
    write_video(path, (ground[:, index : index + 320] for index in range(200)), fps=10)
    return path


def commit(work: Path, turns: int) -> None:
    """Put windows into libraries of several sizes, and see when another store has them."""
    rows = []
    for count in (0, MANY):
        folder = work / f"store{count}"
        about = {"model": {"name": "random", "sha256": ""}, "backbone": "s3d", "version": "", "l2_normalized": True}
        store = Store.create(folder, {**about, "dim": DIM, "windows": LENGTHS})
        for first in range(0, count, 1000):
            store.put_many([random_entry(number, EACH) for number in range(first, first + 1000)])
        store.tidy(force=True)
        other = Store.open(folder)
        known = other.version()
        written, seen = [], []
        for turn in range(turns + 1):  # the first is not counted
            entry = random_entry(10_000_000 + turn, WINDOWS)
            begin = time.perf_counter()
            store.put_many([entry])
            written.append(time.perf_counter() - begin)
            assert other.version() > known
            known = other.version()
            [(_, _, vectors)] = other.vectors([entry.record.id])
            seen.append(time.perf_counter() - begin)
            assert np.array_equal(vectors, entry.vectors)
        versions = time.perf_counter()
        for _ in range(100):
            other.version()
        look = (time.perf_counter() - versions) / 100
        figures = (statistics.median(written[1:]), statistics.median(seen[1:]), look)
        told = (*(f"{1000 * figure:.1f}" for figure in figures), against(1000 * figures[1], PUTTING_MS))
        rows.append((f"{count:,} videos, {count * EACH:,} windows", *told))
    header = ("library", "put, ms", "put and read by another, ms", "look at the version, ms", "bar, both together")
    show(f"Putting {WINDOWS:,} windows of {DIM} numbers in", header, rows)


def random_entry(number: int, windows: int) -> Entry:
    """Make a video of random vectors."""
    draws = np.random.default_rng(number)
    seconds = windows + 1
    record = VideoRecord(f"{number:016x}", f"/videos/{number}.mp4", 0.0, float(number), seconds, windows, 1)
    starts = np.arange(windows, dtype=np.int32)
    return Entry(
        record,
        np.stack([starts, starts + 2], axis=1),
        draws.standard_normal((windows, DIM), np.float32).astype(np.float16),
        draws.standard_normal((seconds, DIM), np.float32).astype(np.float16),
        [Caption(0.0, 2.0, f"number {number}")],
    )


if __name__ == "__main__":
    main()
