"""The distributions of every sampler and mask, against those recorded over 20,000 draws of the original."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from mmpt.config import parse_config
from mmpt.config.schema import DatasetConfig
from mmpt.datasets import collate
from mmpt.processors.how2_aligners import How2MILNCEAligner, MFMMLMAligner, VideoRetriOverlappedAligner
from mmpt.processors.masking import NO_LABEL, FrameMaskingProcessor, TextMaskingProcessor
from mmpt.processors.sampling import TextClipSamplingProcessor, VideoClipSamplingProcessor
from mmpt.utils.registry import lookup
from mmpt.utils.seeding import generator
from tests.parity.distributions import assert_same_counts, assert_same_rates, assert_same_sample

COVERS = "07_random"
SEED = 3
MASK = 4  # the id of [MASK] in tiny-bert
FRAMES, REAL_FRAMES = 32, 20  # of the cases of FrameMasking
CANDIDATES = 4  # captions of an item of MIL-NCE
ALIGNER = r"(FixedLen|VariedLen|Overlapped|StartClip)Aligner_"


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def file(self) -> dict[str, Any]:
        return json.loads((self.folder / "distributions.json").read_text())

    @property
    def told(self) -> dict[str, Any]:
        return self.file["cases"][self.name]

    @property
    def config(self) -> DatasetConfig:
        return parse_config(f"{self.told['config_yaml']}model:\n  model_cls: x\n").dataset

    @property
    def features(self) -> np.ndarray:
        """(seconds, 2), both columns the number of the second."""
        return np.arange(self.file["video_len"], dtype=np.float32)[:, None].repeat(2, axis=1)


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "distributions.json").read_text())["cases"]]


def test_has_the_originals_distribution(case: Case, in_common: Path) -> None:
    for beginning, check in CHECKS.items():
        if re.match(beginning, case.name):
            return check(case)
    pytest.fail(f"{case.name} is of a kind that this suite does not know")


def check_text_clips(case: Case) -> None:
    told, draws = case.told, case.file["n_draws"]
    letter, options = re.fullmatch(r"text_clip_sampling_(\w)_(.*)", case.name).groups()  # pyright: ignore
    caption = case.file["captions"][letter]
    values = dict(re.findall(r"(max|center|keep|sampled)(None|[\d.]+)", options))
    sampler = TextClipSamplingProcessor(int(values.get("max", 61)), float(values.get("keep", 1)))
    center = None if values["center"] == "None" else int(values["center"])
    limit = int(values["sampled"]) if "sampled" in values else None
    rng = generator(SEED)
    drawn = [sampler(caption, rng, centerclip_idx=center, sampled_max_text_len=limit) for _ in range(draws)]
    assert_same_sample([clips[0] for clips in drawn], told["first_clip"], "first clip")
    assert_same_sample([clips[-1] + 1 for clips in drawn], told["last_clip_plus1"], "last clip")
    assert_same_sample([len(clips) for clips in drawn], told["n_clips"], "clips")
    if "n_tokens_before_truncation" in told:
        tokens = [sum(len(caption["cap"][clip]) for clip in clips) for clips in drawn]
        assert_same_sample(tokens, told["n_tokens_before_truncation"], "tokens")
        whole = np.mean([clips[-1] - clips[0] + 1 == len(clips) for clips in drawn])
        assert_same_rates([whole], [told["fraction_contiguous"]], draws, draws, "clips without gaps")


def check_video_clips(case: Case) -> None:
    seconds, most, center = map(int, re.findall(r"\d+", case.name))
    sampler, rng = VideoClipSamplingProcessor(), generator(SEED)
    drawn = np.array([sampler(seconds, most, center, rng) for _ in range(case.file["n_draws"])])
    assert_same_sample(drawn[:, 0], case.told["start"], "start")
    assert_same_sample(drawn[:, 1] - drawn[:, 0], case.told["length"], "length")


def check_aligner(case: Case) -> None:
    """All draws are clips of one item, which is how an aligner draws many clips of a video."""
    told, draws = case.told, case.file["n_draws"]
    name, letter = case.name.split("_")
    caption = case.file["captions"][letter]
    aligner = lookup("aligner", name)(replace(case.config, subsampling=draws))
    item = aligner("v", case.features, caption, generator(SEED))
    start, end = item["video_start"].numpy(), item["video_end"].numpy()
    for key, values in {
        "video_start": start,
        "video_end": end,
        "clip_len": end - start,
        "n_vmask": item["vmasks"].sum(1),
        "text_start": item["text_start"],
        "text_end": item["text_end"],
        "n_text_tokens": item["cmasks"].sum(1) - 3,
    }.items():
        assert_same_sample(values, told[key], key)
    said_from = np.array(caption["start"])[item["text_start"]]
    said_to = np.array(caption["end"])[item["text_end"] - 1]
    overlap = np.maximum(0, np.minimum(end, said_to) - np.maximum(start, said_from))
    assert_same_sample(overlap, told["overlap_seconds"], "overlap")
    assert_same_sample(overlap / (said_to - said_from), told["overlap_over_text_span"], "part of the text")
    of_clip = np.divide(overlap, end - start, where=end > start, out=np.zeros_like(overlap))
    assert_same_sample(of_clip, told["overlap_over_video_clip"], "part of the clip")
    assert_same_rates([np.mean(overlap <= 0)], [told["fraction_without_overlap"]], draws, draws, "no overlap")
    _check_layout(item, caption)


def _check_layout(item: dict[str, Any], caption: dict[str, Any]) -> None:
    for clip in range(0, len(item["caps"]), 997):
        seconds = int(item["vmasks"][clip].sum())
        taken = item["vfeats"][clip, :seconds, 0]
        assert taken.tolist() == list(range(int(item["video_start"][clip]), int(item["video_end"][clip])))[:seconds]
        assert not item["vfeats"][clip, seconds:].any()
        span = caption["cap"][item["text_start"][clip] : item["text_end"][clip]]
        tokens = [token for ids in span for token in ids][:61]
        assert item["caps"][clip].tolist() == [2, 3, *tokens, 3] + [0] * (61 - len(tokens))


def check_mil_nce(case: Case) -> None:
    told, draws = case.told, 2000  # each takes a millisecond
    aligner = How2MILNCEAligner(case.config)
    items = [aligner("v", case.features, case.file["captions"]["a"], generator(SEED, 0, draw)) for draw in range(draws)]
    seconds = [int(item["vmasks"].sum()) for item in items]
    assert_same_sample(seconds, told["n_seconds"], "seconds")
    assert_same_sample([int(item["vfeats"][0, 0]) for item in items], told["first_second"], "first second")
    assert {str(tuple(item["caps"].shape)) for item in items} == set(told["caps_shape"])
    assert all(item["text_end"] - item["text_start"] == CANDIDATES for item in items)


def check_mfmmlm(case: Case) -> None:
    told, draws = case.told, case.file["n_draws"]
    caption = case.file["captions"]["a"]
    aligner = MFMMLMAligner(replace(case.config, subsampling=draws))
    item = aligner("v", case.features, caption, generator(SEED))
    labelled, frames = item["text_label"] != NO_LABEL, item["video_label"]
    words, seconds = item["cmasks"].sum(1) - 3, item["vmasks"].sum(1)
    video, text = (_category(*counts) for counts in ((frames.sum(1), seconds), (labelled.sum(1), words)))
    ours = Counter(f"video_{a}/text_{b}" for a, b in zip(video, text, strict=True))
    assert_same_counts(ours, told["category_counts"], "categories")
    for some, part, key in (
        (video == "some", frames.sum(1) / seconds, "masked_video_fraction_when_partial"),
        (text == "some", labelled.sum(1) / words, "masked_text_fraction_when_partial"),
    ):
        assert_same_sample(part.numpy()[some], told[key], key)
    assert not frames[~item["vmasks"]].any() and item["vfeats"][frames].sum() > 0
    fates = _fates(item["text_label"][labelled], item["caps"][labelled])
    assert_same_counts(fates, told["what_happened_to_labelled_tokens"], "hidden words")


def _category(counts: torch.Tensor, of: torch.Tensor) -> np.ndarray:
    return np.where(counts == 0, "none", np.where(counts == of, "all", "some"))


def _fates(before: torch.Tensor, behind: torch.Tensor) -> Counter:
    names = np.where(behind == MASK, "mask", np.where(behind == before, "kept", "random"))
    return Counter({"mask": 0, "kept": 0, "random": 0}) + Counter(names.tolist())


def check_frames(case: Case) -> None:
    draws = case.file["n_draws"]
    vmasks = (torch.arange(FRAMES) < REAL_FRAMES).expand(draws, -1)
    mode = case.name.partition("_")[2]
    masked = FrameMaskingProcessor(case.config)(vmasks, generator(SEED), None if mode == "None" else mode)
    assert_same_sample(masked.sum(1), case.told["n_masked"], "masked frames")
    rates = masked.float().mean(0)
    assert_same_rates(rates, case.told["mask_rate_per_position"], draws, draws, "rate of each place")


def check_words(case: Case) -> None:
    told, draws = case.told, case.file["n_draws"]
    mode = case.name.partition("_")[2]
    ids = torch.tensor(told["ids"])
    processor, rng = TextMaskingProcessor(case.config), generator(SEED)
    drawn = [processor(ids, rng, None if mode == "None" else mode) for _ in range(draws)]
    inputs, labels = (torch.stack(part) for part in zip(*drawn, strict=True))
    assert ids.tolist() == told["ids"]
    if told["labels_deterministic"] is not None:
        assert (labels == torch.tensor(told["labels_deterministic"])).all()
    if "n_labelled" in told:
        changed = labels != NO_LABEL
        assert_same_sample(changed.sum(1), told["n_labelled"], "labelled words")
        assert (labels[changed] == ids.expand(draws, -1)[changed]).all()
        assert (inputs == ids)[~changed].all()
    else:
        before = processor.textgen(ids)[0] if mode.startswith("textgen") else ids
        changed = inputs != before
        assert_same_sample(changed.sum(1), told["n_changed"], "changed words")
        ids = before
    assert_same_rates(changed.float().mean(0), told["rate_per_position"], draws, draws, "rate of each place")
    fates = _fates(ids.expand(draws, -1)[changed], inputs[changed])
    assert_same_counts(fates, {key: n for key, n in told["token_counts"].items() if n}, "hidden words")


def check_shapes(case: Case) -> None:
    aligner = VideoRetriOverlappedAligner(case.config)
    caption = case.file["captions"]["a"]
    keys = case.told["keys"]
    ids = keys["video_id"]
    items = [aligner(name, case.features, caption, generator(SEED, 0, row)) for row, name in enumerate(ids)]
    batch = collate(items)
    assert set(batch) == set(keys) and batch.pop("video_id") == ids
    assert {key: [list(value.shape), str(value.dtype)] for key, value in batch.items()} == {
        key: told for key, told in keys.items() if key != "video_id"
    }


CHECKS = {
    "text_clip_sampling_": check_text_clips,
    "video_clip_sampling_": check_video_clips,
    ALIGNER: check_aligner,
    "How2MILNCEAligner": check_mil_nce,
    "MFMMLMAligner": check_mfmmlm,
    "FrameMasking": check_frames,
    "TextMasking": check_words,
    "VideoRetriOverlappedAligner": check_shapes,
}
