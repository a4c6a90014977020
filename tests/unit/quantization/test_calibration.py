"""Calibration clips: of the training split, balanced, the same for the same seed; what can't be read is noted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import VideoError
from dvfl_mobile.quantization.calibrate.calibration import NOISE, gather
from tests.conftest import WriteVideo

SPEC = ClipSpec.official(4, 32)
CLASSES = ("Dance", "Jump", "Swim")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Path:
    """UCF's names: three classes, of which one has many more clips; groups 1 to 7 are the test's."""
    root = tmp_path_factory.mktemp("videos")
    for name, groups in zip(CLASSES, (range(6, 12), range(6, 12), range(6, 20)), strict=True):
        (root / name).mkdir()
        for group in groups:
            pictures = np.full((6, 48, 64, 3), 10 * group + 3 * CLASSES.index(name), np.uint8)
            write_video(root / name / f"v_{name}_g{group:02d}_c01.avi", pictures)
    return root


def test_clips_are_of_the_training_split_and_balanced(videos: Path) -> None:
    found = gather(str(videos), SPEC, "mse", 9, classes=CLASSES)
    assert found.pixels.shape == (9, 4, 3, 32, 32)
    assert Counter(found.labels) == {0: 3, 1: 3, 2: 3}
    assert (found.facts.clips, found.facts.classes, found.facts.is_noise) == (9, 3, False)
    # Groups 6 and 7 have greys of 60 to 76: they are for testing.
    assert found.pixels.reshape(9, -1).mean(1).min() > 78


def test_a_seed_fixes_the_choice(videos: Path) -> None:
    one, same, other = (gather(str(videos), SPEC, "mse", 9, seed=seed) for seed in (0, 0, 1))
    assert one.facts == same.facts
    assert np.array_equal(one.pixels, same.pixels)
    assert one.facts.sha256 != other.facts.sha256


def test_held_out_clips_are_others(videos: Path) -> None:
    found = gather(str(videos), SPEC, "mse", 8, held_out=4)
    alone = gather(str(videos), SPEC, "mse", 8)
    assert np.array_equal(found.pixels, alone.pixels)
    assert len(found.held_out) == 4
    mine = {clip.tobytes() for clip in found.pixels}
    assert not any(clip.tobytes() in mine for clip in found.held_out)


def test_labels_are_the_models_or_none(videos: Path) -> None:
    assert set(gather(str(videos), SPEC, "mse", 9, classes=("class_0", "class_1", "class_2")).labels) == {0, 1, 2}
    assert set(gather(str(videos), SPEC, "mse", 9, classes=("Run", "Jump")).labels) == {None}
    assert set(gather(str(videos), SPEC, "mse", 9, classes=("Swim", "Run", "Dance", "Jump")).labels) == {0, 2, 3}


@pytest.mark.parametrize(("most", "expected"), [(2, {0, 1, 2}), (3, {0, 1, 3}), (9, {None})])
def test_labels_that_are_numbers_are_the_models_own_or_none(
    most: int, expected: set[int | None], videos: Path, tmp_path: Path
) -> None:
    numbers = {"Dance": 0, "Jump": 1, "Swim": most}
    rows = [f"{path},{numbers[path.parent.name]}\n" for path in sorted(videos.rglob("*_g1*.avi"))]
    (tmp_path / "list.csv").write_text("".join(rows))
    found = gather(str(tmp_path / "list.csv"), SPEC, "mse", 9, classes=("Dance", "Jump", "Swim", "Run"))
    assert set(found.labels) == expected


def test_names_of_classes_match_as_they_do_everywhere(videos: Path) -> None:
    assert set(gather(str(videos), SPEC, "mse", 9, classes=("swim", "JUMP", "dance")).labels) == {0, 1, 2}


def test_what_cannot_be_read_is_counted_and_named_and_makes_room(videos: Path, tmp_path: Path) -> None:
    rows = [f"{path},{path.parent.name}" for path in sorted(videos.rglob("*_g1*.avi"))]
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"not a video")
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join([*rows, f"{broken},Dance"]))
    found = gather(str(listed), SPEC, "mse", len(rows) + 1)
    assert found.facts.clips == len(rows)
    [note] = [note for note in found.facts.notes if "could not be read" in note]
    assert "1 video" in note
    assert "broken.avi" in note
    assert any("were asked for" in note for note in found.facts.notes)


def test_too_few_is_an_error_that_says_what_was_unreadable(tmp_path: Path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.avi").write_bytes(b"not a video")
    with pytest.raises(VideoError) as caught:
        gather(str(tmp_path), SPEC, "mse")
    assert "0 clips" in caught.value.problem
    assert "at least 8" in caught.value.problem
    assert "9 videos could not be read" in caught.value.problem


def test_an_unknown_data_set_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        gather("ucf50", SPEC, "mse", data_root=tmp_path)
    text = f"{caught.value.problem} {caught.value.hint}"
    for part in (str(tmp_path), "v_BaseballPitch_g01_c01.avi", "crcv.ucf.edu"):
        assert part in text


def test_noise_marks_the_result() -> None:
    found = gather(NOISE, SPEC, "mse", 8)
    assert found.facts.is_noise
    assert found.facts.source == NOISE
    assert set(found.labels) == {None}
