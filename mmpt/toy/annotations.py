"""Writes the toy world's annotations in the file layouts of the data sets that the YAML projects expect."""

import csv
import io
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmpt.text.captionfiles import write_entries
from mmpt.toy.narration import narrate, out_of_step, recognised
from mmpt.toy.plan import STREAMS, Step, Video, tasks
from mmpt.toy.words import ACTIONS, plain_step, sentence
from mmpt.utils.files import atomic_path
from mmpt.utils.seeding import generator

VAL_EVERY = 20  # of the training videos one is for validation
CLIPPED = 40  # training videos whose steps are cut out as clips, too
SENTENCES = 5  # of each training clip
CHOICES = 5  # of a question
ANNOTATORS = 4  # of a moment
PIECES, PIECE = 6, 5  # of a video that moments are looked for in; seconds of a piece

_SENTENCES, _QUESTIONS = STREAMS + 4, STREAMS + 5


def clip_id(video: Video, number: int) -> str:
    """Name the clip of a step.

    Args:
        video: whose step it is.
        number: of the step, from 0 on.

    Returns:
        For example ``"new003_1"``.
    """
    return f"{video.id}_{number}"


def is_clipped(video: Video) -> bool:
    """Whether a video's steps are cut out as clips: those of held-out videos, and of some others."""
    return video.held_out or video.number < CLIPPED


def write_annotations(out: Path, videos: Sequence[Video], seed: int, lag: float) -> None:
    """Write all annotation files; those that are there are written anew.

    Args:
        out: the world's folder.
        videos: all of them.
        seed: of the world.
        lag: seconds by which narration is out of step at most.
    """
    training = [video for video in videos if not video.held_out]
    held_out = [video for video in videos if video.held_out]
    _how2(out / "how2", training, seed, lag)
    _msrvtt(out / "msrvtt", training, held_out, seed)
    _questions(out / "msrvtt-qa" / "MSR_MC_test.csv", held_out, seed)
    _youcook(out / "youcook", training, held_out)
    _write_json(out / "didemo" / "test_data.json", [entry for video in held_out for entry in _moments(video)])
    _write_json(out / "coin" / "COIN.json", {"database": {video.id: _labelled(video) for video in videos}})
    _crosstask(out / "crosstask" / "crosstask_release", training, held_out, seed)


def _how2(folder: Path, training: Sequence[Video], seed: int, lag: float) -> None:
    """HowTo100M: lists of ids, and the captions as recognition gave them."""
    val = [video for video in training if video.number % VAL_EVERY == 1]
    for name, part in (("train", [v for v in training if v not in val]), ("val", val)):
        _write(folder / f"how2_s3d_{name}.lst", "".join(f"{video.id}\n" for video in part))
    with write_entries(folder / "raw_caption.json") as add:
        for video in training:
            lines = out_of_step(video, narrate(video, seed), seed, lag)
            add(video.id, recognised(video, lines, seed).to_json())


def _msrvtt(folder: Path, training: Sequence[Video], held_out: Sequence[Video], seed: int) -> None:
    """MSR-VTT: clips to be found by a sentence each, and clips with several sentences to learn from."""
    tested = [(clip_id(video, number), step.text) for video, number, step in _clips(held_out)]
    rows = [(f"ret{place}", clip, clip, text) for place, (clip, text) in enumerate(tested)]
    for name in ("MSRVTT_JSFUSION_test.csv", "MSRVTT_FULL_test.csv"):
        _write_table(folder / name, ("key", "vid_key", "video_id", "sentence"), rows)
    learned = [clip for clip in _clips(training) if is_clipped(clip[0])]
    _write_table(folder / "MSRVTT_train.csv", ("video_id",), [(clip_id(v, number),) for v, number, _ in learned])
    entries = []
    for video, number, step in learned:
        rng = generator(seed, _SENTENCES, 16 * video.number + number)
        texts = [step.text, *(sentence(step.action, step.thing, rng) for _ in range(SENTENCES - 1))]
        entries += [{"caption": text, "video_id": clip_id(video, number)} for text in texts]
    entries += [{"caption": text, "video_id": clip} for clip, text in tested]
    _write_json(folder / "MSRVTT_data.json", {"sentences": entries})


def _questions(path: Path, held_out: Sequence[Video], seed: int) -> None:
    """MSR-VTT's questions: the right sentence among four of other clips, drawn from all that are of other things."""
    clips = [(clip_id(video, number), step) for video, number, step in _clips(held_out)]
    rows = []
    for place, (clip, step) in enumerate(clips):
        rng = generator(seed, _QUESTIONS, place)
        others = [other.text for _, other in clips if other.text != step.text]
        others = list(dict.fromkeys(others))
        texts = [others[index] for index in rng.permutation(len(others))[: CHOICES - 1]]
        answer = int(rng.integers(CHOICES))
        texts.insert(answer, step.text)
        rows.append((clip, *texts, answer))
    names = ("vid_key", *(f"a{number}" for number in range(1, CHOICES + 1)), "answer")
    _write_table(path, names, rows, delimiter="\t")


def _youcook(folder: Path, training: Sequence[Video], held_out: Sequence[Video]) -> None:
    """YouCook2: the steps of videos, each with its times and a sentence."""
    database = {}
    for name, subset, videos in (("train", "training", training), ("val", "validation", held_out)):
        records = [{"id": clip_id(video, number), "caption": step.text} for video, number, step in _clips(videos)]
        with atomic_path(folder / f"youcook_{name}.pkl") as path:
            path.write_bytes(pickle.dumps(records, protocol=4))
        _write(folder / f"{name}_list.txt", "".join(f"{_task_id(video.task)}/{video.id}\n" for video in videos))
        for video in videos:
            steps = [
                {"id": number, "segment": [round(step.start), round(step.end)], "sentence": step.text}
                for number, step in enumerate(video.steps)
            ]
            database[video.id] = {
                "subset": subset,
                "recipe_type": _task_id(video.task),
                "duration": float(video.seconds),
                "annotations": steps,
            }
    _write_json(folder / "youcookii_annotations_trainval.json", {"database": database})


def _moments(video: Video) -> Iterable[dict[str, Any]]:
    """DiDeMo: the steps of the first 30 seconds, each at the moment that it fills best."""
    for number, step in enumerate(video.steps):
        if step.end > PIECES * PIECE:
            continue
        moments = [(first, last) for first in range(PIECES) for last in range(first, PIECES)]
        best = max(moments, key=lambda moment: _overlap(step, moment[0] * PIECE, (moment[1] + 1) * PIECE))
        yield {
            "annotation_id": 16 * video.number + number,
            "video": f"{video.id}.mp4",
            "description": step.text,
            "num_segments": PIECES,
            "times": [list(best)] * ANNOTATORS,
        }


def _overlap(step: Step, start: float, end: float) -> float:
    """What is common to a step and a moment, as a part of what both cover."""
    common = min(step.end, end) - max(step.start, start)
    return max(0.0, common) / (max(step.end, end) - min(step.start, start))


def _labelled(video: Video) -> dict[str, Any]:
    """COIN: an action's number and words for each step."""
    numbers = {action: number for number, action in enumerate(ACTIONS, 1)}
    steps = [
        {"id": str(numbers[step.action]), "segment": [step.start, step.end], "label": plain_step(step.action)}
        for step in video.steps
    ]
    return {
        "subset": "testing" if video.held_out else "training",
        "class": _task_id(video.task),
        "recipe_type": video.task,
        "duration": float(video.seconds),
        "start": 0.0,
        "end": float(video.seconds),
        "annotation": steps,
    }


def _crosstask(folder: Path, training: Sequence[Video], held_out: Sequence[Video], seed: int) -> None:
    """CrossTask: held-out videos are of primary tasks, training videos of related ones; take `n_train: 0`."""
    world = tasks(seed)
    rows = [(_task_id(video.task), video.id, f"videos/{video.id}.mp4") for video in (*held_out, *training)]
    _write_table(folder / "videos.csv", None, rows)
    _write(folder / "videos_val.csv", "")
    for name, primary in (("primary", True), ("related", False)):
        blocks = []
        for number, task in enumerate(world):
            if task.primary == primary:
                steps = ",".join(map(plain_step, task.actions))
                title = ", ".join(task.actions)
                blocks.append(f"{_task_id(number)}\n{title}\nmmpt toy\n{len(task.actions)}\n{steps}\n")
        _write(folder / f"tasks_{name}.txt", "\n".join(blocks))
    for video in (*held_out, *training):
        actions = world[video.task].actions
        rows = [(actions.index(step.action) + 1, step.start, step.end) for step in video.steps]
        _write_table(folder / "annotations" / f"{_task_id(video.task)}_{video.id}.csv", None, rows)


def _task_id(number: int) -> str:
    return str(100 + number)


def _clips(videos: Iterable[Video]) -> list[tuple[Video, int, Step]]:
    return [(video, number, step) for video in videos for number, step in enumerate(video.steps)]


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, indent=1) + "\n")


def _write_table(
    path: Path, names: Sequence[str] | None, rows: Iterable[Sequence[Any]], *, delimiter: str = ","
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    if names is not None:
        writer.writerow(names)
    writer.writerows(rows)
    _write(path, file.getvalue())
