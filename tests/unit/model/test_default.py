"""The embedded default student and its card, and seeded ones and their clips: the same everywhere, and lively."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from dvfl_mobile.data.clips import ClipSpec, normalize
from dvfl_mobile.data.drawn import SHAPE_CLASSES, moving_shapes
from dvfl_mobile.evaluation.paired import wilson
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import sha256_of_weights
from dvfl_mobile.model.card import EMBEDDED, WEIGHTS, RecordedScore, card_of, embedded_card
from dvfl_mobile.model.default import DEFAULT_NAME, default_student, seeded_student
from dvfl_mobile.model.student import Student
from dvfl_mobile.wording import percent

pytestmark = pytest.mark.installed

_SMALL = Architecture(embed_dim=16, img_size=64, num_classes=5)


@pytest.fixture(scope="module")
def student() -> Student:
    return default_student()


def test_default_is_a_trained_pico(student: Student) -> None:
    assert student.architecture.name == "pico"
    assert student.classes[:2] == ("ApplyEyeMakeup", "ApplyLipstick")
    assert len(student.classes) == 8
    assert student.clip == ClipSpec.official(8, 112)
    assert (student.source.kind, student.source.name) == ("checkpoint", DEFAULT_NAME)
    assert not student.network.training
    assert not any(parameter.requires_grad for parameter in student.network.parameters())


def test_default_weights_are_those_of_the_card(student: Student) -> None:
    card = embedded_card()
    assert student.source.sha256 == sha256_of_weights(student.network.state_dict()) == card.weights_sha256
    assert student.source.size_bytes == 4 * sum(value.numel() for value in student.network.parameters())
    assert card_of(student.source.sha256) == card
    assert card_of("0" * 64) is None


def test_default_is_small_and_stored_in_half_precision(student: Student) -> None:
    assert WEIGHTS.is_file()
    assert len(WEIGHTS.read_bytes()) <= 6_000_000
    for value in student.network.parameters():
        assert torch.equal(value, value.half().float())


def test_the_card_and_what_it_says_to_readers_agree() -> None:
    card = embedded_card()
    text = (EMBEDDED / "pico.md").read_text(encoding="utf-8")
    assert card.scores[0].target is None
    assert {score.videos for score in card.scores} == {112}
    for score in card.scores:
        interval = wilson(score.right, score.videos, 0.95)
        shares = f"{percent(score.share)} | {percent(interval.low)} to {percent(interval.high)}"
        assert f"| {score.name} | {score.right} of {score.videos} | {shares} |" in text
    assert card.command in text
    assert card.teacher in text
    assert f"{card.train_videos} videos" in text


def test_a_card_can_not_say_what_can_not_be() -> None:
    with pytest.raises(ValidationError, match="9 of 8 can't be right"):
        RecordedScore(recipe="fp32", target=None, right=9, videos=8)


def test_default_is_quick() -> None:
    start = time.process_time()
    default_student()
    assert time.process_time() - start < 4  # CPU seconds of all threads; 0.2 s on a quiet machine


def test_seeds_and_sizes() -> None:
    one, same, other = seeded_student(_SMALL), seeded_student(_SMALL), seeded_student(_SMALL, seed=1)
    assert one.source == same.source
    assert one.source.sha256 != other.source.sha256
    assert one.classes == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert one.clip.shape == (8, 3, 64, 64)


def test_a_student_whose_parts_do_not_fit_can_not_be() -> None:
    one = seeded_student(_SMALL)
    with pytest.raises(ValueError, match="2 class names for 5 logits"):
        Student(one.network, one.architecture, ("a", "b"), one.clip, one.source)
    with pytest.raises(ValueError, match="does not fit"):
        Student(one.network, one.architecture, one.classes, ClipSpec.official(8, 224), one.source)


def test_every_layer_of_seeded_weights_has_something_to_say() -> None:
    one = seeded_student(Architecture(embed_dim=16, img_size=64, num_classes=len(SHAPE_CLASSES)), SHAPE_CLASSES)
    spread: list[float] = []
    for stage in one.network.layers:
        stage.register_forward_hook(lambda _, __, out: spread.append(out.std().item()))
    pixels = np.stack([clip.pixels for clip in moving_shapes(one.clip, 4)])
    logits = one.network(torch.from_numpy(normalize(pixels, one.clip)))
    assert all(0.3 < value < 5 for value in spread)
    assert logits.std(dim=0).mean() > 0.02  # clips differ
    assert logits.std(dim=1).mean() > 0.1  # classes differ


def test_shapes_are_the_same_to_the_bit_everywhere() -> None:
    clips = moving_shapes(ClipSpec.official(4, 64), 12, seed=3)
    digest = hashlib.sha256(b"".join(clip.pixels.tobytes() for clip in clips)).hexdigest()
    assert digest == "68df412c642017a984392a59fe52ed77061cccda88abc7efa8f494fd25d7e5c9"


def test_shapes_are_whole_clips() -> None:
    spec = ClipSpec.official(4, 64)
    clips = moving_shapes(spec, 14)
    assert [clip.label for clip in clips] == [*range(12), 0, 1]
    assert all(clip.pixels.shape == spec.shape and clip.pixels.dtype == np.uint8 for clip in clips)
    assert all(clip.damage is None for clip in clips)
    assert len({clip.name for clip in clips}) == 14
    assert all(SHAPE_CLASSES[label] in clip.name for clip in clips if (label := clip.label) is not None)
    again, others = moving_shapes(spec, 14), moving_shapes(spec, 14, seed=1)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(clips, again, strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(clips, others, strict=True))
    assert np.array_equal(moving_shapes(spec, 3)[2].pixels, clips[2].pixels)


@pytest.mark.parametrize(("way", "axis", "sign"), [("left", 2, -1), ("right", 2, 1), ("up", 1, -1), ("down", 1, 1)])
def test_shapes_move_the_way_their_class_says(way: str, axis: int, sign: int) -> None:
    for clip in moving_shapes(ClipSpec.official(8, 64), len(SHAPE_CLASSES)):
        assert clip.label is not None
        if not SHAPE_CLASSES[clip.label].endswith(way):
            continue
        first, last = clip.pixels[0].astype(int), clip.pixels[-1].astype(int)
        background = np.median(clip.pixels, axis=0)
        places = [_middle(np.abs(picture - background).sum(axis=0) > 30, axis) for picture in (first, last)]
        assert sign * (places[1] - places[0]) > 8


def test_shapes_exercise_every_channel_and_frequency() -> None:
    for clip in moving_shapes(ClipSpec.official(2, 64), 6):
        for channel in range(3):
            picture = clip.pixels[0, channel].astype(float)
            assert picture.std() > 20
            power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
            assert power[24:40, 24:40].mean() > 1e-5 * power.max()


@pytest.mark.parametrize(("frames", "size"), [(1, 32), (2, 33), (8, 50)])
def test_shapes_of_any_size(frames: int, size: int) -> None:
    spec = ClipSpec.official(frames, size)
    assert all(clip.pixels.shape == spec.shape for clip in moving_shapes(spec, 12))


def _middle(mask: np.ndarray, axis: int) -> float:
    return float(np.argwhere(mask)[:, axis - 1].mean())
