"""Training clips: drawn as published, the same for seed, epoch and video, and mixed in pairs."""

from __future__ import annotations

import colorsys
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.leaks import Links, shared
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import VideoError
from dvfl_mobile.training.clips.augment import Box, cut, draw_box, draw_indices, recolour
from dvfl_mobile.training.clips.data import VideoSamples, hold_out, sides_matter
from dvfl_mobile.training.clips.mixing import mix, soft_targets
from dvfl_mobile.training.optimization.schedule import TrainSchedule
from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import Augmentation, TrainSettings

SPEC = ClipSpec(frames=4, size=32, short_side=36, frame_interval=2)


def stream(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


@pytest.mark.parametrize(("total", "interval"), [(100, 4), (8, 1), (33, 2), (19, 4)])
def test_one_frame_is_drawn_of_each_part_of_a_video(total: int, interval: int) -> None:
    part = (total - interval + 1) // 8
    drawn = np.stack([draw_indices(stream(seed), total, 8, interval) for seed in range(300)])
    assert ((drawn // part == np.arange(8)) & (drawn < total)).all()
    assert all(set(drawn[:, place] - place * part) == set(range(part)) for place in range(8))


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 7, 9, 10])
def test_a_video_shorter_than_a_clip_gives_frames_that_it_has(total: int) -> None:
    for seed in range(20):
        drawn = draw_indices(stream(seed), total, 8, 4)
        assert drawn.shape == (8,)
        assert (np.diff(drawn) >= 0).all()
        assert 0 <= drawn.min() <= drawn.max() < total


def test_boxes_have_the_area_and_the_ratio_asked_for_and_lie_in_the_picture() -> None:
    augmentation = Augmentation()
    boxes = [draw_box(stream(seed), 240, 320, augmentation) for seed in range(400)]
    areas = [box.height * box.width for box in boxes]
    ratios = [box.width * 320 / (box.height * 240) for box in boxes]
    assert 0.07 < min(areas) < 0.12
    assert 0.8 < max(areas) <= 1
    # Rounded to whole pixels; the smallest box is 64 pixels high.
    assert min(ratios) > 3 / 4 - 0.02
    assert max(ratios) < 4 / 3 + 0.02
    assert all(box.top >= 0 and box.top + box.height <= 1 + 1e-9 for box in boxes)
    assert all(box.left >= 0 and box.left + box.width <= 1 + 1e-9 for box in boxes)
    assert len({round(box.left, 3) for box in boxes}) > 50


def test_where_no_box_fits_the_middle_is_taken() -> None:
    box = draw_box(stream(), 10, 400, Augmentation(crop_area=(1, 1)))
    assert (box.height, box.width * 400, box.left * 400) == (1, 10, pytest.approx(195))


def test_cutting_keeps_straight_slopes_and_what_is_there_already() -> None:
    slope = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (60, 100, 3))
    half = cut(slope, Box(0.0, 0.5, 1.0, 0.5), 25)
    # The middle of each of 25 pixels over columns 50 to 100: every second pixel's edge.
    assert np.abs(half[0, :, 0].astype(float) - (2 * (50 + 2 * np.arange(25) + 0.5))).max() <= 0.5
    picture = stream().randint(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (cut(picture, Box(0, 0, 1, 1), 32) == picture).all()


def test_colours_change_alike_in_all_pictures_of_a_clip_and_within_bounds() -> None:
    clip = np.broadcast_to(stream().randint(0, 256, (1, 8, 8, 3), dtype=np.uint8), (4, 8, 8, 3)).copy()
    changed = [recolour(clip, stream(seed), Augmentation(jitter=1, grey=0)) for seed in range(20)]
    assert all((one[0] == one[3]).all() and one.dtype == np.uint8 for one in changed)
    assert len({one.tobytes() for one in changed}) == 20
    assert recolour(clip, stream(), Augmentation(jitter=0, grey=0)) is clip
    grey = recolour(clip, stream(), Augmentation(jitter=0, grey=1))
    assert (grey[..., 0] == grey[..., 2]).all()
    often = [recolour(clip, stream(seed), Augmentation(jitter=0.5, grey=0)) is not clip for seed in range(400)]
    assert 0.4 < np.mean(often) < 0.6


def test_hue_turns_as_on_the_circle_of_hsv() -> None:
    from dvfl_mobile.training.clips import augment

    pixels = np.array([[[[255, 0, 0], [10, 200, 90], [40, 40, 180], [77, 77, 77], [200, 180, 20]]]], np.float32)
    turned = augment._turn_hue(pixels, 0.5)  # by a twentieth of the circle
    for before, after in zip(pixels.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255).tolist())
        expected = np.array(colorsys.hsv_to_rgb((hue + 0.05) % 1, saturation, value)) * 255
        assert np.abs(after - expected).max() < 1e-2


def test_a_circle_of_six_is_gone_around_as_by_the_remainder_to_the_bit() -> None:
    from dvfl_mobile.training.clips import augment

    edges = np.array([-6, -1, -1e-7, -1e-38, 0, 1e-38, 5.9999995, 6, 6.0000005, 11, 11.999999], np.float32)
    places = np.concatenate([edges, stream().uniform(-6, 12, 10_000).astype(np.float32)])
    assert (augment._around(places) == places % np.float32(6)).all()


@pytest.fixture(scope="module")
def refs(tmp_path_factory: pytest.TempPathFactory, write_video) -> list[VideoRef]:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("videos")
    names = [f"v_{name}_g{group:02}_c01" for name in ("Left", "Right") for group in (1, 2)]
    found = []
    for index, name in enumerate(names):
        path = write_video(folder / f"{name}.mp4", 24 + index, codec="libx264")
        found.append(VideoRef(path, index // 2, name.split("_")[1], group=1 + index % 2, name=path.name))
    return found


def test_a_clip_of_a_video_is_the_same_whoever_draws_it(refs: list[VideoRef]) -> None:
    samples = VideoSamples(refs, SPEC, Augmentation(), seed=3)
    wanted = [(index, epoch) for epoch in range(3) for index in range(len(refs))]
    one = [samples.sample(index, epoch) for index, epoch in wanted]
    fresh = VideoSamples(refs, SPEC, Augmentation(), seed=3)
    with ThreadPoolExecutor(4) as pool:
        other = list(pool.map(lambda place: fresh.sample(*place), reversed(wanted)))[::-1]
    assert all((a.pixels == b.pixels).all() and a.label == b.label for a, b in zip(one, other, strict=True))
    assert one[0].pixels.shape == SPEC.shape
    assert [sample.label for sample in one[:4]] == [0, 0, 1, 1]
    assert len({sample.pixels.tobytes() for sample in one}) == len(one)
    assert not (VideoSamples(refs, SPEC, Augmentation(), seed=4).sample(0, 0).pixels == one[0].pixels).all()


def test_without_augmentation_only_the_place_in_time_is_drawn(refs: list[VideoRef], numbers_of) -> None:  # type: ignore[no-untyped-def]
    samples = VideoSamples(refs, SPEC, Augmentation.none(), seed=0)
    drawn = [numbers_of(samples.sample(0, epoch).pixels) for epoch in range(12)]
    assert all(np.array_equal(np.array(numbers) // ((24 - 1) // 4), np.arange(4)) for numbers in drawn)
    assert len({tuple(numbers) for numbers in drawn}) > 6


def test_half_of_all_clips_are_mirrored(tmp_path: Path, write_video) -> None:  # type: ignore[no-untyped-def]
    pictures = np.zeros((10, 64, 64, 3), np.uint8)
    pictures[:, :, 32:] = 200
    path = write_video(tmp_path / "one.mp4", pictures, codec="libx264")
    flipping = Augmentation.none().model_copy(update={"flip": 0.5})
    samples = VideoSamples([VideoRef(path, 0)], SPEC, flipping, seed=0)
    mirrored = [samples.sample(0, epoch).pixels[0, 0, 0, 0] > 100 for epoch in range(60)]
    assert 0.3 < np.mean(mirrored) < 0.7


def test_the_next_video_stands_in_for_one_that_cant_be_read(refs: list[VideoRef], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    samples = VideoSamples([VideoRef(broken, 1, name="broken.mp4"), *refs], SPEC, Augmentation(), seed=0)
    assert samples.sample(0, 0).label == 0
    assert (samples.sample(0, 0).pixels == samples.sample(1, 0).pixels).all()
    assert samples.unreadable == ["broken.mp4"]
    with pytest.raises(VideoError, match="after it"):
        VideoSamples([VideoRef(broken, 1)] * 3, SPEC, Augmentation(), seed=0).sample(0, 0)


def named(count: int, groups: int = 5) -> list[VideoRef]:
    """Videos as UCF names them, of two classes: in each, the groups in turn."""
    return [
        VideoRef(Path(f"/v/v_{name}_g{1 + at % groups:02}_c{at:02}.avi"), label, name, group=1 + at % groups)
        for label, name in enumerate(("Archery", "Diving"))
        for at in range(count)
    ]


def test_whole_groups_of_every_class_are_held_out() -> None:
    refs = named(20)
    train, held = hold_out(refs, 0.1, seed=0)
    assert sorted(map(str, [*train, *held])) == sorted(map(str, refs))
    assert not shared(train, held)
    assert [sum(ref.label == label for ref in held) for label in (0, 1)] == [4, 4]  # the least that is a whole group
    assert hold_out(refs, 0.1, seed=0) == (train, held)
    assert any(hold_out(refs, 0.1, seed=seed)[1] != held for seed in range(1, 5))


def test_linked_groups_are_held_out_together_or_not_at_all() -> None:
    refs = named(20)
    links = Links({("archery", group): ("archery", 1) for group in (1, 2, 3)})
    sides = [hold_out(refs, 0.1, seed, links) for seed in range(20)]
    assert not any(shared(train, held, links) for train, held in sides)
    assert any(shared(train, held, links) for train, held in (hold_out(refs, 0.1, seed) for seed in range(20)))


def test_a_class_of_one_group_keeps_it_for_training() -> None:
    train, held = hold_out(named(6, groups=1), 0.1, seed=0)
    assert (len(train), held) == (12, [])


def test_what_two_splits_share_is_counted_by_class_and_group() -> None:
    refs = named(10)
    leak = shared(refs[::2], refs[1::2])
    assert (leak.groups, leak.videos) == (10, 0)
    assert str(shared(refs[:2], refs[:1])) == "1 (class, group) pair and 1 video"


@pytest.mark.parametrize("name", ["ssv2", "/data/something-something-v2", "SSV2"])
def test_left_and_right_matter_in_something_something(name: str) -> None:
    assert sides_matter(name)
    assert not sides_matter("ucf101")


def test_soft_targets_are_smoothed_labels_and_sum_to_1() -> None:
    targets, known = soft_targets([2, None], classes=4, smoothing=0.1)
    torch.testing.assert_close(targets[0], torch.tensor([0.025, 0.025, 0.925, 0.025]))
    assert known.tolist() == [1, 0]


@pytest.mark.parametrize("kind", [{"cutmix": 0.0}, {"mixup": 0.0}])
def test_a_pair_is_mixed_and_its_labels_by_the_same_share(kind: dict[str, float]) -> None:
    augmentation = Augmentation(label_smoothing=0, **kind)
    pixels = torch.stack([torch.full((2, 3, 16, 16), value) for value in (0.0, 1.0, 5.0)])
    targets, known = soft_targets([0, 1, 2], 3, 0)
    shares = []
    for epoch in range(40):
        mixed, labels, _ = mix(pixels, targets, known, [7, 8, 9], epoch, augmentation, seed=0)
        # The second clip is 1 and the first is 0: the mean of a mixed clip is the share of the second in it.
        torch.testing.assert_close(mixed[:2].mean((1, 2, 3, 4)), labels[:2, 1])
        torch.testing.assert_close(labels.sum(-1), torch.ones(3))
        assert mixed[2].equal(pixels[2])
        assert labels[2].equal(targets[2])
        shares.append(round(float(labels[0, 0]), 4))
    assert len(set(shares)) > 10
    assert 0 <= min(shares) < 0.5
    assert 0.7 < max(shares) <= 1
    assert pixels[0].eq(0).all(), "what was given stays as it was"


def test_a_pair_is_mixed_alike_in_any_batch_and_one_without_label_spoils_both() -> None:
    pixels = torch.randn(4, 2, 3, 16, 16)
    targets, known = soft_targets([0, 1, None, 1], 3, 0.1)
    together = mix(pixels, targets, known, [1, 2, 3, 4], 0, Augmentation(), seed=0)
    apart = mix(pixels[2:], targets[2:], known[2:], [3, 4], 0, Augmentation(), seed=0)
    assert together[0][2:].equal(apart[0])
    assert together[2].tolist() == [1, 1, 0, 0]


def test_each_purpose_and_place_has_draws_of_its_own() -> None:
    places = [
        (0, Stream.CLIP, 0, 1),
        (0, Stream.CLIP, 1, 0),
        (0, Stream.MIX, 0, 1),
        (1, Stream.CLIP, 0, 1),
        (0, Stream.ORDER, 0),
    ]
    assert len({random_stream(*place).random_sample() for place in places}) == len(places)  # type: ignore[arg-type]


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(**{"epochs": 12, "warmup_epochs": 2, "global_batch": 10, "micro_batch": 4, **changes})  # type: ignore[arg-type]


def test_an_epoch_sees_no_clip_twice_and_each_one_is_in_another_order() -> None:
    schedule = TrainSchedule(settings(), 57)
    assert (schedule.epoch_steps, schedule.steps) == (5, 60)
    epochs = [np.concatenate([schedule.batch(5 * epoch + step) for step in range(5)]) for epoch in range(12)]
    assert all(len(set(epoch)) == 50 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 12
    assert len(set(np.concatenate(epochs))) == 57, "what one epoch leaves over, others see"


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_a_step_is_cut_in_the_same_pieces_for_any_number_of_processes(processes: int) -> None:
    schedule = TrainSchedule(settings(), 57)
    pieces = sorted(tuple(piece) for rank in range(processes) for piece in schedule.chunks(3, rank, processes))
    batch = schedule.batch(3)
    assert pieces == sorted([tuple(batch[:4]), tuple(batch[4:8]), tuple(batch[8:])])


def test_fewer_clips_than_a_batch_are_a_batch() -> None:
    assert len(TrainSchedule(settings(), 7).batch(0)) == 7


def test_the_learning_rate_is_the_official_one_for_the_batch() -> None:
    schedule = TrainSchedule(settings(global_batch=64, epochs=120, warmup_epochs=20), 640)
    scale = 64 / 512
    assert schedule.learning_rate(0) == pytest.approx(0.001 * scale)
    assert schedule.learning_rate(100) == pytest.approx((0.001 + 0.099 / 2) * scale)
    # timm's CosineLRScheduler without warmup_prefix: the cosine counts from the first step.
    assert schedule.learning_rate(200) == pytest.approx((0.001 + 0.0495 * (1 + math.cos(math.pi / 6))) * scale)
    assert schedule.learning_rate(600) == pytest.approx((0.001 + 0.0495) * scale)
    assert schedule.learning_rate(1199) == pytest.approx(0.001 * scale, rel=1e-3)


def test_settings_that_cant_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        settings(micro_batch=3)
    with pytest.raises(ValueError, match="warm-up"):
        settings(warmup_epochs=12)
    assert settings(micro_batch=3, augmentation=Augmentation.none()).micro_batch == 3
