"""CrossTask: find the second of a video that shows each step of its task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mmpt.processors.aligner import Aligner
from mmpt.processors.base import Listing, MetaProcessor, TextProcessor, VideoProcessor, existing
from mmpt.processors.ds import covered_seconds, cut_windows
from mmpt.utils.registry import register
from mmpt.utils.tables import number, read_lines, read_table, segment_fault

SPLIT_SEED = 0  # of numpy's legacy generator: the papers' split
TASK_LINES = 5  # id, title, address, number of steps, steps


class Item(NamedTuple):
    """A video of a task.

    Attributes:
        task: the task's id.
        video: the video's id.
        steps: the task's steps in words.
        n_steps: how many they are.
    """

    task: str
    video: str
    steps: tuple[str, ...]
    n_steps: int


@dataclass(frozen=True)
class CrossTaskListing(Listing):
    """What the release folder lists.

    Attributes:
        whole: (task, video) of those to train on and those to test, if no video were missing.
    """

    whole: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] = ((), ())


@dataclass(frozen=True)
class CrossTaskOptions:
    """Keys of CrossTask, files of its release folder.

    Args:
        train_csv_path: `videos.csv`, all videos: task, video, address.
        val_csv_path: `videos_val.csv`, videos that are in no part.
        primary_path: `tasks_primary.txt`, the tasks that are tested.
        related_path: `tasks_related.txt`, tasks for training only.
        annotation_path: the folder `annotations`: `<task>_<video>.csv`.
        n_train: videos of each primary task to train on; the others are tested.
    """

    train_csv_path: str
    val_csv_path: str
    primary_path: str
    related_path: str
    annotation_path: str
    n_train: int

    def __post_init__(self) -> None:
        if self.n_train < 0:
            raise ValueError(f"dataset.n_train is {self.n_train}; it takes 0 or more")


@register("meta_processor")
class CrossTaskMetaProcessor(MetaProcessor):
    """Lists the videos of the release folder; an item is (`Item`, the same `Item`).

    Of each primary task `n_train` videos are drawn for training, by numpy's legacy generator from a fixed seed; the
    rest is for testing, and validation is the same. The draw goes over the videos that have features and annotations,
    so that the papers' split needs them all. The related tasks are for training only.
    """

    Options = CrossTaskOptions

    @property
    def moved(self) -> tuple[str, ...] | None:
        """The tested videos that are for training when none is missing; None where the papers' are tested."""
        listing = self.listing
        assert isinstance(listing, CrossTaskListing)
        tested = [(item.task, item.video) for item, _ in listing.items]
        training, testing = listing.whole
        if self.config.split == "train" or tested == testing:
            return None
        others = frozenset(training)
        return tuple(video for task, video in tested if (task, video) in others)

    def read(self) -> CrossTaskListing:
        """Read the release folder; see `MetaProcessor.read`."""
        options: CrossTaskOptions = self.options
        source = existing(options.train_csv_path, "dataset.train_csv_path")
        held_out, faults = _read_videos(existing(options.val_csv_path, "dataset.val_csv_path"))
        listed, more = _read_videos(source)
        primary = read_tasks(existing(options.primary_path, "dataset.primary_path"))
        steps = primary | read_tasks(existing(options.related_path, "dataset.related_path"))
        faults += more + _strangers(listed, steps, source) + _repeated(listed, source)
        left = frozenset(held_out)
        annotations = existing(options.annotation_path, "dataset.annotation_path")
        annotated = _names(annotations)
        unannotated = _tasks_without_annotations([pair for pair in listed if pair[0] in steps], annotated)
        unannotated -= frozenset(primary)
        usable = [pair for pair in listed if pair[0] in steps and pair not in left and pair[0] not in unannotated]
        pairs, missing = self.keep_available(usable, lambda pair: pair[1])
        faults += [
            f"{source} lists {video} of task {task}, and {options.annotation_path} has no {task}_{video}.csv; it is "
            "left out"
            for task, video in pairs
            if f"{task}_{video}" not in annotated
        ]
        pairs = [(task, video) for task, video in pairs if f"{task}_{video}" in annotated]
        tested = frozenset(primary)
        # Validation videos count for the order in which tasks are drawn, although they are in no part.
        ordered = [pair for pair in listed if pair[0] in steps and "_".join(pair) in annotated]
        there, _ = self.keep_available(ordered, lambda pair: pair[1])
        training, testing = split(pairs, tested, options.n_train, _tasks(there))
        whole_list = [pair for pair in ordered if pair not in left]
        whole = split(whole_list, tested, options.n_train, _tasks(ordered))
        chosen = training if self.config.split == "train" else testing
        if not chosen and pairs and self.config.split != "train":
            faults.append(
                f"dataset.n_train is {options.n_train}, and no primary task has more videos than that, so that none is "
                "left to test; take a smaller number"
            )
        items = [Item(task, video, steps[task], len(steps[task])) for task, video in chosen]
        for item in dict.fromkeys(items):
            faults += read_annotation(annotations, item.task, item.video, item.n_steps)[1]
        notes = _note(source, listed, unannotated)
        return CrossTaskListing([(item, item) for item in items], str(source), missing, tuple(faults), notes, whole)

    def video_of(self, index: int) -> str:
        """The video of an item; see `MetaProcessor.video_of`."""
        return self[index][0].video


def split(
    pairs: Sequence[tuple[str, str]], primary: frozenset[str], n_train: int, tasks: Sequence[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Divide videos into those to train on and those to test.

    Args:
        pairs: (task, video) in the order of the list.
        primary: the tasks that are tested.
        n_train: videos of each to train on; a task with no more than that has none to test.
        tasks: the order in which tasks are drawn: as the list first names them, validation videos included.

    Returns:
        The two parts, task by task.
    """
    draws = np.random.RandomState(SPLIT_SEED)  # a generator of its own: the global one is left alone
    videos: dict[str, list[str]] = {task: [] for task in tasks}
    for task, video in pairs:
        videos[task].append(video)
    training: list[tuple[str, str]] = []
    testing: list[tuple[str, str]] = []
    for task, listed in videos.items():
        chosen = listed
        if task in primary and len(listed) > n_train:
            chosen = [listed[index] for index in draws.choice(len(listed), n_train, replace=False)]
        training += [(task, video) for video in chosen]
        taken = frozenset(chosen)
        testing += [(task, video) for video in listed if video not in taken]
    return training, testing


def _tasks(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(task for task, _ in pairs))


def read_tasks(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the steps of tasks.

    Args:
        path: blocks of five lines with blank lines between: id, title, address, number of steps, steps with commas
            between.

    Returns:
        task -> its steps in words.

    Raises:
        ValueError: a block has another form, or a task stands twice.
    """
    lines = read_lines(path)
    steps: dict[str, tuple[str, ...]] = {}
    for first in range(0, len(lines), TASK_LINES):
        block = lines[first : first + TASK_LINES]
        where, task = block[0]
        if len(block) < TASK_LINES:
            raise ValueError(f"{where}: the task {task} has {len(block)} of {TASK_LINES} lines; is the file cut off?")
        words = tuple(word.strip() for word in block[4][1].split(","))
        if block[3][1] != str(len(words)) or not all(words):
            raise ValueError(
                f"{block[3][0]}: the task {task} announces {block[3][1]!r} steps, and the next line has {len(words)}; "
                "a task has five lines: id, title, address, number of steps, steps with commas between"
            )
        if task in steps:
            raise ValueError(f"{where}: the task {task} stands twice; remove one of the two")
        steps[task] = words
    return steps


def read_annotation(
    folder: Path, task: str, video: str, n_steps: int
) -> tuple[list[tuple[int, float, float]], list[str]]:
    """Read when a video shows which step.

    Args:
        folder: the annotations.
        task: the task's id.
        video: the video's id.
        n_steps: how many steps the task has.

    Returns:
        (step from 1 on, its beginning, its end, in seconds) of each row; and a fault for each row that is left out.

    Raises:
        FileNotFoundError: the video has no annotation.
        ValueError: a step is none of the task's.
    """
    rows, faults = read_table(folder / f"{task}_{video}.csv", ("step", "start", "end"), header=False)
    shown: list[tuple[int, float, float]] = []
    for row in rows:
        step, start, end = (number(row[name]) for name in ("step", "start", "end"))
        if not isinstance(step, int) or not 1 <= step <= n_steps:
            raise ValueError(
                f"{row.where} has the step {row['step']!r}, and the task {task} has the steps 1 to {n_steps}; are "
                "the task files and the annotations of the same release?"
            )
        if (fault := segment_fault(start, end)) is not None:
            faults.append(f"{row.where} {fault}; it is left out")
        else:
            shown.append((step, start, end))
    return shown, faults


@register("video_processor")
class CrossTaskVideoProcessor(VideoProcessor):
    """Reads the features of a whole video."""

    def __call__(self, video_id: Item) -> np.ndarray:
        """Read an item's features.

        Args:
            video_id: the item.

        Returns:
            (seconds, width), in the file's dtype.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged.
        """
        return super().__call__(video_id[1])


@register("text_processor")
class CrossTaskTextProcessor(TextProcessor):
    """Makes the token ids of a task's steps."""

    def __call__(self, text_id: Item, rng: np.random.Generator) -> list[list[int]]:
        """Make an item's token ids.

        Args:
            text_id: the item.
            rng: not used.

        Returns:
            For each step its token ids without special tokens.
        """
        return [self.tokenize(step) for step in text_id[2]]


@dataclass(frozen=True)
class CrossTaskAlignerOptions:
    """Keys of CrossTask's aligner.

    Args:
        annotation_path: the folder `annotations`: `<task>_<video>.csv`.
    """

    annotation_path: str


@register("aligner")
class CrossTaskAligner(Aligner):
    """Cuts a video into windows, beside the steps of its task."""

    Options = CrossTaskAlignerOptions

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: the item.
            video_feature: float (T seconds, width), at least one second.
            text_feature: token ids of each of K steps, without special tokens.
            rng: not used.

        Returns:
            For W windows: `vfeats` float32 (W, max_video_len, width), `vmasks` bool (W, max_video_len); `caps` int64
            and `cmasks` bool (K, max_len - max_video_len); `targets`, float32 (seconds of all windows, K), 1 where a
            second shows a step, windows one after another without padding; `video_len`, T; `video_id` and `task`.

        Raises:
            FileNotFoundError: the video has no annotation.
            ValueError: the video has no second, or its annotation is of another task.
        """
        task, video, _, n_steps = video_id
        windows = cut_windows(self.config, len(video_feature), video)
        shown = self._shown(task, video, len(video_feature), n_steps)  # (T, K)
        frames = [self._build_video_seq(video_feature[start:end]) for start, end in windows]
        steps = [self._build_text_seq(ids) for ids in text_feature]
        return {
            "vfeats": torch.stack([vfeats for vfeats, _ in frames]),
            "vmasks": torch.stack([vmasks for _, vmasks in frames]),
            "caps": torch.stack([caps for caps, _ in steps]),
            "cmasks": torch.stack([cmasks for _, cmasks in steps]),
            "targets": torch.cat([shown[start:end] for start, end in windows]),
            "video_len": len(video_feature),
            "video_id": video,
            "task": task,
        }

    def _shown(self, task: str, video: str, length: int, n_steps: int) -> torch.Tensor:
        """1 where a second shows a step, float32 (length, n_steps)."""
        folder = existing(self.options.annotation_path, "dataset.annotation_path")
        shown = torch.zeros(length, n_steps)
        for step, start, end in read_annotation(folder, task, video, n_steps)[0]:
            shown[covered_seconds(start, end, length, video), step - 1] = 1
        return shown


def _read_videos(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """(task, video) of each line, and the faults."""
    rows, faults = read_table(path, ("task", "video"), header=False)
    return [(row["task"], row["video"]) for row in rows], faults


def _strangers(listed: Sequence[tuple[str, str]], steps: Mapping[str, Any], source: Path) -> list[str]:
    counts: dict[str, int] = {}
    for task, _ in listed:
        if task not in steps:
            counts[task] = counts.get(task, 0) + 1
    return [
        f"{source} lists {count:,} videos of the task {task}, which the task files do not have; they are left out"
        for task, count in counts.items()
    ]


def _tasks_without_annotations(listed: Sequence[tuple[str, str]], annotated: frozenset[str]) -> frozenset[str]:
    """Tasks none of whose videos is annotated: in the release, those of the related list."""
    with_some = frozenset(task for task, video in listed if f"{task}_{video}" in annotated)
    return frozenset(task for task, _ in listed) - with_some


def _note(source: Path, listed: Sequence[tuple[str, str]], tasks: frozenset[str]) -> tuple[str, ...]:
    count = sum(task in tasks for task, _ in listed)
    told = f"{source} lists {count:,} videos of {len(tasks)} related tasks without annotations, as released; left out"
    return (told,) if tasks else ()


def _repeated(listed: Sequence[tuple[str, str]], source: Path) -> list[str]:
    """Videos that are listed twice are kept, for the papers' split was drawn over the list as it is."""
    seen: set[tuple[str, str]] = set()
    again = [pair for pair in listed if pair in seen or seen.add(pair)]
    return [f"{source} lists {video} of the task {task} more than once; each is an item" for task, video in again]


def _names(folder: Path) -> frozenset[str]:
    """The annotations of a folder, without .csv."""
    try:
        return frozenset(path.stem for path in folder.iterdir() if path.suffix == ".csv")
    except OSError as error:
        raise ValueError(
            f"dataset.annotation_path is {folder}, which cannot be read as a folder ({error.strerror})"
        ) from error
