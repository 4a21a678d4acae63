"""`mmpt prepare`: one's own narrated videos -> all that pre-training reads."""

import argparse
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.cli.extract import add_backbone, backbone_options, file_size
from mmpt.cli.inputs import add_max_gap, find_videos
from mmpt.utils.legible import is_unicode

if TYPE_CHECKING:
    from mmpt.utils.failures import FailureLog
    from mmpt.video.jobs import Event, Video

EXAMPLES = """examples:
  mmpt prepare videos/ --captions subtitles/ -o data/mine
  mmpt prepare videos/ -o data/mine --language en --val-part 0.1
  mmpt prepare videos/ --captions raw_caption.json -o data/mine --backbone grid

Captions belong to the video of the same name: clip.mp4 has clip.srt, clip.vtt
or clip.en.vtt, or the id "clip" in a .json or .pkl file. They are cleaned, cut
into word pieces, and lie in shards beside those of the video features. Give the
same command again after any stop, or with more videos: what is done is kept.
What cannot be used stands in OUT/failures.jsonl, and the exit code is then 1.
"""
CLEAN = "raw_caption_dedup.pkl"
UNUSED = "captions_without_video.lst"
FAILURES = "failures.jsonl"
YAML = "videoclip.yaml"


@dataclass(frozen=True)
class Places:
    """Where things go.

    Args:
        out: the folder of all.
    """

    out: Path

    @property
    def captions(self) -> Path:
        """The clean captions."""
        return self.out / CLEAN

    @property
    def features(self) -> Path:
        """The folder of feature files."""
        return self.out / "features"

    @property
    def shards(self) -> Path:
        """The folder of shards."""
        return self.out / "shards"

    def list_of(self, split: str) -> Path:
        """The list of a split."""
        return self.out / f"{split}.lst"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument(
        "--captions",
        type=Path,
        metavar="IN",
        help="folder of .srt and .vtt files, or a caption file (beside the videos)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for all that is made")
    parser.add_argument("--val-part", type=float, default=0.05, metavar="PART", help="for validation (%(default)s)")
    parser.add_argument("--language", metavar="CODE", help="which subtitles, where a video has several, such as en")
    parser.add_argument("--encoding", metavar="NAME", help="of subtitle files not in Unicode, such as cp1252")
    parser.add_argument("--bert-name", metavar="NAME", help="folder or hub name of the BERT (the project's)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--shard-size", type=int, default=4096, metavar="N", help="videos of a shard (%(default)s)")
    parser.add_argument("--no-l2", action="store_true", help="keep the length of features; by default it becomes 1")
    add_max_gap(parser)
    add_backbone(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare.

    Returns:
        0, or 1 when some videos cannot be used.
    """
    _check(args)
    videos, unreadable = find_videos(args.videos)
    from mmpt.utils.disk import disk_full_told
    from mmpt.utils.failures import failure_log
    from mmpt.video.jobs import name_videos

    with disk_full_told(args.out), failure_log(args.out / FAILURES, always=True) as log:
        try:
            for reason in unreadable:
                log.add("", reason, step="videos")
            named = {video.id: video for video in name_videos(videos) if _is_name(video.id, log)}
            _make(args, named, Places(args.out), log)
        finally:
            _tell(args, log)
    return 1 if log.count else 0


def _tell(args: argparse.Namespace, log: "FailureLog") -> None:
    """Report what cannot be used, the first few one by one."""
    from mmpt.cli.console import err

    for line in log.first:
        err.print(f"mmpt: not used: {line}", soft_wrap=True)
    if log.count:
        where = args.out / FAILURES
        err.print(f"mmpt: {log.count:,} cannot be used as given; the reasons are in {where}", soft_wrap=True)


def _make(args: argparse.Namespace, videos: "dict[str, Video]", places: Places, log: "FailureLog") -> None:
    """Go through the steps."""
    from mmpt.datasets.narrated import split_ids

    worded = _clean(args, videos, places, log)
    split_ids(worded, args.val_part)  # too few are told before the long work, too
    ready = _extract(args, [videos[video_id] for video_id in worded], places, log)
    train_videos = _shard(args, _leave_out_misfits(ready, places, log), places, log)
    beginning = _tokenize(_bert_name(args), places, log)
    _write_yaml(args, places, beginning, train_videos)


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what cannot end well."""
    from mmpt.datasets.narrated import split_ids
    from mmpt.text.tokenizer import load_tokenizer
    from mmpt.video.backbones.base import build_backbone

    if min(args.workers, args.shard_size) < 1:
        raise ValueError(f"--workers is {args.workers} and --shard-size {args.shard_size}; each takes 1 or more")
    split_ids(("a", "b"), args.val_part)
    if not is_unicode(str(args.out)):
        raise ValueError(
            f"{args.out} is not valid UTF-8, and the YAML file to be written names it; choose another folder"
        )
    if args.captions is None and not (len(args.videos) == 1 and Path(args.videos[0]).is_dir()):
        raise ValueError("--captions is missing; give the folder of subtitle files, or a caption file")
    load_tokenizer(_bert_name(args))
    build_backbone(args.backbone, **backbone_options(args))


def _bert_name(args: argparse.Namespace) -> str:
    if args.bert_name:
        return args.bert_name
    from mmpt.config import load_config
    from mmpt.config.load import find_project_file
    from mmpt.datasets.narrated import TEMPLATE

    return load_config(find_project_file(TEMPLATE)).dataset.bert_name


def _is_name(video_id: str, log: "FailureLog") -> bool:
    """Whether a video's name can stand in a list."""
    try:
        video_id.encode()
    except UnicodeEncodeError:
        log.add(ascii(video_id), "its name is no text in UTF-8; rename it", step="videos")
        return False
    if len(video_id.splitlines()) == 1 and video_id == video_id.strip():
        return True
    log.add(video_id, "its name has line ends, or spaces at an end; rename it", step="videos")
    return False


def _clean(args: argparse.Namespace, videos: "dict[str, Video]", places: Places, log: "FailureLog") -> list[str]:
    """Match captions to videos, and clean them; gives the videos that have captions."""
    from mmpt.cli.captions import tell_notes
    from mmpt.cli.progress import part_bar
    from mmpt.datasets.narrated import Matching, count_captions, write_list
    from mmpt.text.cleaning import clean, failures_path, open_source

    source = args.captions or Path(args.videos[0])
    entries, refused = open_source(source, language=args.language, videos=videos)
    matching = Matching(videos, unused={video_id: None for video_id, _ in refused if video_id not in videos})
    try:
        with part_bar("videos") as bar:
            summary = clean(
                matching.passing(entries),
                [places.captions],
                workers=args.workers,
                encoding=args.encoding,
                refused=[(video_id, reason) for video_id, reason in refused if video_id in videos],
                on_progress=bar.advance,
            )
    except ValueError as error:
        if matching.matched or not (videos and matching.unused):
            raise
        raise ValueError(
            f"none of the captions in {source} is of one of the videos: there are videos such as {min(videos)!r}, and "
            f"captions such as {min(matching.unused)!r}; give them the same names"
        ) from error
    told = _take_over(failures_path(places.captions), log, "captions")
    counts = count_captions(places.captions)
    worded = [video_id for video_id, count in counts.items() if count]
    for video_id in sorted(videos.keys() - told - set(worded)):
        wordless = video_id in counts
        reason = "none of its captions says anything" if wordless else f"it has no captions in {source}"
        log.add(video_id, reason, step="captions")
    tell_notes(summary)
    tally = summary.tally
    _say("captions", f"{tally.kept:,} of {len(worded):,} videos; {tally.merged:,} merged, {tally.dropped:,} empty")
    if matching.unused:
        write_list(args.out / UNUSED, sorted(matching.unused))
        _say("", f"left out, without a video: {len(matching.unused):,}, listed in {args.out / UNUSED}")
    else:
        (args.out / UNUSED).unlink(missing_ok=True)
    return worded


def _extract(args: argparse.Namespace, videos: "list[Video]", places: Places, log: "FailureLog") -> list[str]:
    """Extract features; gives the videos that have them."""
    from mmpt.cli.console import err, quiet_transformers
    from mmpt.cli.tally import Tally, display
    from mmpt.video.jobs import Plan
    from mmpt.video.runners import extract_all

    plan = Plan(
        out=places.features,
        backbone=args.backbone,
        options=backbone_options(args),
        l2_normalize=not args.no_l2,
        durations=err.is_terminal,
    )
    tally = Tally({video.id: file_size(video.path) for video in videos})
    failed: dict[str, str] = {}
    with quiet_transformers(), display(tally) as show:

        def take(event: "Event") -> None:
            tally.take(event)
            if event.kind == "failed":
                failed[event.video.id] = event.reason
            show()

        extract_all(videos, plan, take, workers=min(args.workers, max(1, len(videos))))
    for video_id, reason in failed.items():
        log.add(video_id, reason, step="features")
    for damage in tally.damaged:
        err.print(f"mmpt: warning: {damage}", soft_wrap=True)
    _say("features", f"{tally.done:,} videos done, {tally.skipped + tally.kept:,} were there, {len(failed):,} failed")
    return [video.id for video in videos if video.id not in failed]


def _leave_out_misfits(videos: list[str], places: Places, log: "FailureLog") -> list[str]:
    """Leave out videos of which most captions begin behind the end; gives the others."""
    from mmpt.datasets.narrated import count_beyond
    from mmpt.utils.featurefile import read_head

    seconds = {}
    for video_id in videos:
        with contextlib.suppress(OSError, ValueError):  # what cannot be read is told when it is put into a shard
            seconds[video_id] = read_head(places.features / f"{video_id}.npy")[0][0]
    beyond = count_beyond(places.captions, seconds)
    misfits = {video_id for video_id, (late, count) in beyond.items() if 2 * late > count}
    for video_id in sorted(misfits):
        late, count = beyond[video_id]
        reason = f"{late:,} of its {count:,} captions begin behind its end, at {seconds[video_id]:,} s"
        log.add(video_id, f"{reason}; are they of another video, or in another unit?", step="captions")
    if few := {video_id: late for video_id, (late, _) in beyond.items() if video_id not in misfits}:
        videos_of = f"{len(few):,} of {len(videos):,} videos"
        _say("", f"captions behind the end of their video: {sum(few.values()):,}, in {videos_of}")
    return [video_id for video_id in videos if video_id not in misfits]


def _shard(args: argparse.Namespace, ready: list[str], places: Places, log: "FailureLog") -> int:
    """Write the lists and the shards of features; gives the number of videos for training."""
    from mmpt.cli.progress import part_bar
    from mmpt.datasets.narrated import keep_places, split_ids, write_list
    from mmpt.utils import sharding

    sides = split_ids(ready, args.val_part)
    lists = {split: keep_places(places.list_of(split), ids) for split, ids in sides.items()}
    for split, ids in lists.items():
        write_list(places.list_of(split), ids)
    with part_bar("videos") as bar:
        report = sharding.write_shards(
            places.features,
            places.shards,
            lists,
            shard_size=args.shard_size,
            on_progress=lambda done, total: bar.advance(done, done / total),
        )
    _take_over(places.shards / sharding.FAILURES, log, "shards")
    stored = ", ".join(f"{split} {count:,}" for split, count in report.videos.items())
    _say("shards", f"of videos: {stored}; {report.written:,} written, {report.kept:,} were there")
    return report.videos["train"]


def _tokenize(bert_name: str, places: Places, log: "FailureLog") -> str:
    """Write the shards of token ids; gives the beginning of their paths."""
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.progress import part_bar
    from mmpt.text.pretokenize import META, open_store, write_shards
    from mmpt.text.wordpieces import Encoder
    from mmpt.utils.shardedtensor import read_meta

    with quiet_transformers():
        encoder = Encoder(bert_name)
    metas = {split: read_meta(places.shards / f"{split}{META}") for split in ("train", "val")}
    with part_bar("videos") as bar, open_store(places.captions, places.out) as store:
        made = write_shards(store, metas, places.shards, encoder, on_progress=bar.advance)
    _take_over(Path(f"{made.beginning}failures.jsonl"), log, "tokens")
    _say("tokens", f"{made.clips:,} captions cut into word pieces; {made.kept:,} shards were there")
    return made.beginning


def _write_yaml(args: argparse.Namespace, places: Places, beginning: str, train_videos: int) -> None:
    from mmpt.datasets.narrated import documented, write_yaml

    dataset: dict[str, Any] = {
        **({"bert_name": args.bert_name} if args.bert_name else {}),
        "train_path": documented(places.list_of("train")),
        "val_path": documented(places.list_of("val")),
        "vfeat_dir": documented(places.shards),
        "tfeat_dir": documented(Path(f"{beginning}x"))[:-1],
        **({"backbone": args.backbone} if args.backbone != "s3d" else {}),
        **({"l2_normalize": False} if args.no_l2 else {}),
    }
    target = args.out / YAML
    if write_yaml(target, dataset, train_videos):
        _say("written", f"{target}")
    else:
        _say("left", f"{target}, which was changed by hand; move it away to have a new one")
    _say("next", f"mmpt train {target}")


def _take_over(path: Path, log: "FailureLog", step: str) -> set[str]:
    """Move a step's failures into the one list; gives their videos."""
    if not path.exists():
        return set()
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for entry in found:
        log.add(entry["video"], entry["reason"], step=step)
    path.unlink()
    return {entry["video"] for entry in found}


def _say(what: str, text: str) -> None:
    from mmpt.cli.console import out

    out.print(f"{what:<9} {text}", soft_wrap=True)
