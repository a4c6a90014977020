"""Faults that apps have, each planted in a stand-in: the verdict names it, and a correct app passes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import TensorEntry
from dvfl_mobile.data.clips import frame_indices, normalize, prepare
from dvfl_mobile.data.video import drawn_indices, pictures, probe
from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack import results
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.judging import causes, judge
from dvfl_mobile.pack.judging.verdict import PackReport
from dvfl_mobile.pack.resizes import CUTS, FILTERS, RIGHT, Resize, resized
from dvfl_mobile.parity.thresholds import thresholds_for
from tests.packs import App

pytest.importorskip("av", reason="golden videos are decoded by PyAV")

Judged = Callable[[App], PackReport]


@pytest.fixture(scope="module")
def pack(small_pack: SimpleNamespace) -> OpenPack:
    return small_pack.opened


@pytest.fixture(scope="module")
def app(pack: OpenPack) -> App:
    """A correct app. Its network knows the pack's clips by sight, and answers as the reference does."""
    clips = {video.name: (pack.clip(video), np.array(video.reference_logits)) for video in pack.contents.videos}

    def logits(tensor: np.ndarray) -> np.ndarray:
        apart = {name: float(np.abs(tensor.reshape(-1) - clip.reshape(-1)).mean()) for name, (clip, _) in clips.items()}
        return clips[min(apart, key=apart.__getitem__)][1]

    return App(pack, logits)


@pytest.fixture
def judged(pack: OpenPack, tmp_path: Path) -> Judged:
    def run(app: App) -> PackReport:
        path = app.write(tmp_path)
        found = results.read(path)
        return judge.judge(pack, found, tmp_path / "pack.zip", path, thresholds_for("fp32"))

    return run


def first_of(report: PackReport) -> tuple[str, tuple[str, ...]]:
    assert report.verdict is Verdict.FAIL
    assert report.first is not None
    return report.first.stage, report.first.cause.faults if report.first.cause else ()


def test_a_correct_app_passes_to_the_bit(app: App, judged: Judged) -> None:
    report = judged(app)
    assert (report.verdict, report.reasons, report.first) == (Verdict.PASS, (), None)
    measured = {check.measured for check in report.checks if check.stage in ("decoded frames", "resize and crop")}
    assert measured == {"identical"}


def test_a_decoder_that_is_off_by_two_levels_a_pixel_passes(app: App, judged: Judged) -> None:
    stream = np.random.default_rng(0)

    def see(frames: np.ndarray) -> np.ndarray:
        return (frames + stream.integers(-2, 3, frames.shape)).clip(0, 255).astype(np.uint8)

    report = judged(app.but(see=see))
    assert (report.verdict, report.reasons) == (Verdict.PASS, ())
    assert "identical" not in {check.measured for check in report.checks if check.stage == "clip pixels"}


def test_a_resize_that_rounds_otherwise_passes(app: App, pack: OpenPack, judged: Judged) -> None:
    def pixels(frames: np.ndarray) -> np.ndarray:
        return (
            (prepare(frames, pack.contents.clip).astype(int) + (np.indices(pack.contents.clip.shape)[3] % 3 == 0))
            .clip(0, 255)
            .astype(np.uint8)
        )

    assert judged(app.but(pixels=pixels)).verdict is Verdict.PASS


def painted(colour: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: np.rint(causes._COLOURS[colour](frames.astype(float))).astype(np.uint8)


SEEN = {
    "channels swapped": lambda frames: frames[..., ::-1],
    "mirrored": lambda frames: frames[:, :, ::-1],
    "turned by 180 degrees": lambda frames: frames[:, ::-1, ::-1],
    "scaled by the decoder": lambda frames: frames.repeat(2, 1).repeat(2, 2),
    **{name: painted(name) for name in causes._COLOURS if name not in ("", "channels swapped", "BT.601 for BT.709")},
}


@pytest.mark.parametrize("fault", SEEN)
def test_what_a_decoder_does_wrong_is_named(fault: str, app: App, judged: Judged) -> None:
    assert first_of(judged(app.but(see=SEEN[fault], logits=None))) == ("decoded frames", (fault,))


def test_rotation_ignored_is_named_where_a_video_has_one(app: App, judged: Judged) -> None:
    report = judged(app.but(stored=True, logits=None))
    assert first_of(report) == ("decoded frames", ("rotation ignored",))
    assert report.first is not None
    assert report.first.subject == "drawn-turned"
    [pixels] = [check for check in report.checks if (check.stage, check.subject) == ("clip pixels", "drawn-turned")]
    assert (pixels.verdict, pixels.follows, pixels.cause) == (Verdict.FAIL, "decoded frames", None)


def test_two_faults_at_once_are_both_named(app: App, judged: Judged) -> None:
    report = judged(app.but(stored=True, see=lambda frames: frames[..., ::-1], logits=None))
    named = {check.subject: check.cause.faults for check in report.checks if check.cause is not None}
    assert named["drawn-uneven"] == ("channels swapped",)
    assert named["drawn-turned"] == ("rotation ignored", "channels swapped")


@pytest.mark.parametrize(
    ("seek", "evidence"),
    [
        (lambda indices: [max(index - 1, 0) for index in indices], "Each is 1 before the one that is meant."),
        (lambda indices: [0 for _ in indices], "All of them are frame 0."),
        (lambda indices: indices[::-1], "They are "),
    ],
    ids=["off by one", "key frames", "reversed"],
)
def test_wrong_frames_behind_right_numbers_are_named(
    seek: Callable[[list[int]], list[int]], evidence: str, app: App, judged: Judged
) -> None:
    report = judged(app.but(seek=seek, logits=None))
    assert first_of(report) == ("decoded frames", ("wrong frames",))
    assert report.first is not None
    assert report.first.cause is not None
    assert evidence in report.first.cause.evidence


def by_rule(rule: Callable[[list[int], int], list[int]], pack: OpenPack) -> Callable[[Path], list[int]]:
    def choose(path: Path) -> list[int]:
        facts = probe(path)
        return rule(drawn_indices(facts, pack.contents.clip).tolist(), facts.decoded)

    return choose


RULES = {
    "off by one": lambda right, _: [index + 1 for index in right],
    "segments' beginnings": lambda _, total: [int(i * (total - 3) / 8) for i in range(8)],
    "spread to both ends": lambda _, total: np.linspace(0, total - 1, 8).astype(int).tolist(),
    "frame_interval left out": lambda _, total: [int((i + 0.5) * total / 8) for i in range(8)],
    "the first ones": lambda _right, _total: list(range(8)),
    "the last ones": lambda _, total: list(range(total - 8, total)),
    "every frame_interval": lambda _right, _total: list(range(0, 32, 4)),
}


@pytest.mark.parametrize("fault", RULES)
def test_another_rule_of_drawing_frames_is_named(fault: str, app: App, pack: OpenPack, judged: Judged) -> None:
    report = judged(
        app.but(choose=by_rule(RULES[fault], pack), seek=lambda indices: [i % 30 for i in indices], logits=None)
    )
    assert first_of(report) == ("drawn frames", (fault,))


def test_the_rule_for_another_length_is_named(app: App, pack: OpenPack, judged: Judged) -> None:
    rule = by_rule(lambda _, total: frame_indices(total - 7, pack.contents.clip).tolist(), pack)
    report = judged(app.but(choose=rule, logits=None))
    assert first_of(report) == ("drawn frames", ("another length",))
    assert "the rule for 23 frames; there are 30" in report.first.cause.evidence  # type: ignore[union-attr]


def test_drawing_by_index_is_named_where_times_are_uneven(app: App, pack: OpenPack, judged: Judged) -> None:
    rule = by_rule(lambda _, total: frame_indices(total, pack.contents.clip).tolist(), pack)
    report = judged(app.but(choose=rule, logits=None))
    assert first_of(report) == ("drawn frames", ("by index",))
    assert report.first.subject == "drawn-uneven"  # type: ignore[union-attr]


def test_a_lost_frame_fails_the_count_and_the_choice_only_follows(app: App, pack: OpenPack, tmp_path: Path) -> None:
    document = app.but(logits=None).results(tmp_path)
    video = document["videos"][0]
    video["frame_count"] -= 1
    video["indices"] = frame_indices(video["frame_count"], pack.contents.clip).tolist()
    found = results.Results.model_validate(document)
    report = judge.judge(pack, found, tmp_path, tmp_path, thresholds_for("fp32"))
    assert first_of(report) == ("frame count", ())
    checks = {check.stage: check for check in report.checks if check.subject == video["name"]}
    assert checks["drawn frames"].follows == "frame count"


GEOMETRY = [(cut, RIGHT) for cut in CUTS if cut != RIGHT] + [(RIGHT, kind) for kind in FILTERS if kind != RIGHT]


@pytest.mark.parametrize(("cut", "kind"), GEOMETRY)
def test_a_wrong_resize_is_named(cut: str, kind: str, app: App, pack: OpenPack, judged: Judged) -> None:
    way = Resize(cut, kind)

    def pixels(frames: np.ndarray) -> np.ndarray:
        made = resized(frames, pack.contents.clip, way)
        assert made is not None
        return made.astype(np.uint8)

    stage, named = first_of(judged(app.but(pixels=pixels, logits=None)))
    assert stage == "resize and crop"
    # Where pictures shrink to a third and less, both ways of taking the nearest differ by little.
    assert named == way.faults or (kind.startswith("nearest") and named[0].startswith("nearest"))


def test_a_stretched_picture_in_the_wrong_order_is_named(app: App, pack: OpenPack, judged: Judged) -> None:
    def pixels(frames: np.ndarray) -> np.ndarray:
        made = resized(frames, pack.contents.clip, Resize("stretched", RIGHT))
        assert made is not None
        return made[:, ::-1].astype(np.uint8)

    assert first_of(judged(app.but(pixels=pixels, logits=None))) == (
        "resize and crop",
        ("stretched", "channels swapped"),
    )


ARRANGED = {
    "channels swapped": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[:, :, ::-1],
    "order THWC": lambda pixels: pixels.transpose(0, 2, 3, 1),
    "order CTHW": lambda pixels: pixels.transpose(1, 0, 2, 3),
}


@pytest.mark.parametrize("fault", ARRANGED)
def test_pixels_in_another_order_are_named(fault: str, app: App, pack: OpenPack, judged: Judged) -> None:
    changed = app.but(pixels=lambda frames: ARRANGED[fault](prepare(frames, pack.contents.clip)), logits=None)
    assert first_of(judged(changed)) == ("resize and crop", (fault,))


@pytest.mark.parametrize("fault", ARRANGED)
def test_a_tensor_in_another_order_is_named(fault: str, app: App, judged: Judged) -> None:
    report = judged(app.but(tensor=lambda pixels: ARRANGED[fault](pixels).astype(np.float32), logits=None))
    assert first_of(report) == ("input tensor", (fault,))


def scaled(pixels: np.ndarray, pack: OpenPack) -> dict[str, np.ndarray]:
    spec = pack.contents.clip
    return {
        "normalized twice": normalize(pixels, spec),
        "0 to 1 instead of 0 to 255": pixels / 255,
        "-1 to 1 instead of 0 to 255": pixels / 127.5 - 1,
        "0 to 1, normalized by figures for 0 to 255": normalize(pixels / 255, spec),
    }


@pytest.mark.parametrize(
    "fault",
    [
        "normalized twice",
        "0 to 1 instead of 0 to 255",
        "-1 to 1 instead of 0 to 255",
        "0 to 1, normalized by figures for 0 to 255",
    ],
)
def test_another_scale_of_the_tensor_is_named(fault: str, app: App, pack: OpenPack, judged: Judged) -> None:
    report = judged(app.but(tensor=lambda pixels: scaled(pixels, pack)[fault].astype(np.float32), logits=None))
    assert first_of(report) == ("input tensor", (fault,))
    stages = {check.stage for check in report.checks if check.verdict is Verdict.FAIL}
    assert stages == {"input tensor"}


def test_a_tensor_with_two_faults_has_both_named(app: App, judged: Judged) -> None:
    wrong = app.but(tensor=lambda pixels: (pixels[:, ::-1].transpose(0, 2, 3, 1) / 255).astype(np.float32), logits=None)
    assert first_of(judged(wrong))[1] == ("channels swapped", "order THWC", "0 to 1 instead of 0 to 255")


INT8 = TensorEntry(name="x", shape=(8, 3, 64, 64), dtype="int8", scale=1.0, zero_point=-128)


@pytest.mark.parametrize(
    ("fault", "tensor"),
    [
        ((), lambda pixels: pixels.astype(np.float32) - 128),
        (("not quantized",), lambda pixels: pixels.astype(np.float32)),
        (("zero point left out",), lambda pixels: pixels.clip(0, 127).astype(np.float32)),
        (("bytes taken for signed ones",), lambda pixels: pixels.view(np.int8).astype(np.float32)),
        (("0 to 1 instead of 0 to 255",), lambda pixels: (pixels / 255).astype(np.float32)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value else None,
)
def test_int8_inputs_have_faults_of_their_own(fault: tuple[str, ...], tensor: Any, pack: OpenPack) -> None:
    spec, stride = pack.contents.clip, pack.contents.stride
    pixels = pack.clip(pack.contents.videos[0])
    assert pixels is not None
    samples = tensor(pixels).reshape(-1)[::stride].astype(np.float64)
    cause = causes.of_tensor(samples, pixels, spec, INT8, stride, 0.5)
    assert (cause.faults if cause else ()) == fault


def test_normalized_artifacts_are_recognised_when_nothing_was_normalized(pack: OpenPack) -> None:
    spec = pack.contents.clip.model_copy(update={"pixels": "normalized"})
    entry = pack.contents.artifact.input
    pixels = pack.clip(pack.contents.videos[0])
    assert pixels is not None

    def faults_of(tensor: np.ndarray) -> tuple[str, ...]:
        samples = tensor.reshape(-1)[:: pack.contents.stride].astype(np.float64)
        cause = causes.of_tensor(samples, pixels, spec, entry, pack.contents.stride, 0.5)
        return cause.faults if cause else ()

    assert faults_of(normalize(pixels, spec)) == ()
    assert faults_of(pixels.astype(np.float32)) == ("not normalized",)
    assert faults_of(normalize(normalize(pixels, spec), spec)) == ("normalized twice",)


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


ANSWERS = {
    "softmax applied": softmax,
    "all zero": lambda logits: logits * 0,
    "the same answer to everything": lambda _: np.arange(5.0),
    "classes in another order": lambda logits: logits[[1, 0, 2, 4, 3]],
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_what_an_app_does_to_logits_is_named(fault: str, app: App, judged: Judged) -> None:
    right = app.logits
    assert right is not None
    assert first_of(judged(app.but(logits=lambda tensor: ANSWERS[fault](right(tensor))))) == ("logits", (fault,))


def test_answers_that_come_a_clip_late_are_named(app: App, judged: Judged) -> None:
    right, before = app.logits, [np.zeros(5)]
    assert right is not None

    def late(tensor: np.ndarray) -> np.ndarray:
        before.append(right(tensor))
        return before[-2]

    count = len([video for video in app.pack.contents.videos if video.clip])
    before.append(np.array(app.pack.contents.videos[count - 1].reference_logits))
    assert first_of(judged(app.but(logits=late))) == ("logits", ("answers of other clips",))


def test_logits_that_are_not_finite_fail(app: App, judged: Judged) -> None:
    report = judged(app.but(logits=lambda _: np.full(5, np.nan)))
    assert first_of(report) == ("logits", ())


def test_another_number_of_logits_fails(app: App, judged: Judged) -> None:
    report = judged(app.but(logits=lambda _: np.zeros(4)))
    assert first_of(report) == ("logits", ())
    assert "4 logits for 5 classes" in report.reasons[0]


def test_another_model_file_is_named_first(app: App, pack: OpenPack, judged: Judged) -> None:
    assert first_of(judged(app.but(model_sha256="0" * 64))) == ("model file", ("another model file",))
    own = pack.contents.artifact.files[0].sha256
    assert judged(app.but(model_sha256=own)).verdict is Verdict.PASS


@pytest.mark.parametrize("missing", [{"logits": None}, {"tensor": None}])
def test_a_stage_that_is_left_out_leaves_the_verdict_open(missing: dict[str, None], app: App, judged: Judged) -> None:
    report = judged(app.but(**missing))
    assert (report.verdict, report.verdict.exit_code, report.first) == (Verdict.INCONCLUSIVE, 7, None)
    assert all("not judged" in reason for reason in report.reasons)


def test_a_video_that_is_left_out_leaves_the_verdict_open(app: App, pack: OpenPack, tmp_path: Path) -> None:
    document = app.results(tmp_path)
    del document["videos"][1]
    report = judge.judge(pack, results.Results.model_validate(document), tmp_path, tmp_path, thresholds_for("fp32"))
    assert report.verdict is Verdict.INCONCLUSIVE


def test_an_unknown_deviation_has_no_cause_made_up(app: App, pack: OpenPack, judged: Judged) -> None:
    stream = np.random.default_rng(1)
    noise = stream.integers(0, 256, pack.contents.clip.shape).astype(np.uint8)
    assert first_of(judged(app.but(pixels=lambda _: noise, logits=None))) == ("resize and crop", ())


def only_of_videos(pack: OpenPack) -> Callable[[np.ndarray], np.ndarray]:
    """Channels swapped, but not in the formula pictures."""
    known = {(one.height, one.width) for one in pack.contents.pictures}

    def pixels(frames: np.ndarray) -> np.ndarray:
        made = prepare(frames, pack.contents.clip)
        return made if frames.shape[1:3] in known else made[:, ::-1]

    return pixels


def test_pixels_of_videos_are_looked_into_by_decoding_them_again(app: App, pack: OpenPack, judged: Judged) -> None:
    report = judged(app.but(pixels=only_of_videos(pack), logits=None))
    assert first_of(report) == ("clip pixels", ("channels swapped",))


def test_without_pyav_pixels_of_videos_fail_without_a_cause(
    app: App, pack: OpenPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = app.but(pixels=only_of_videos(pack), logits=None).write(tmp_path)
    monkeypatch.setitem(sys.modules, "av", None)
    report = judge.judge(pack, results.read(path), path, path, thresholds_for("fp32"))
    assert first_of(report) == ("clip pixels", ())
    assert any("dvfl-mobile[video]" in note for note in report.notes)


def test_pixels_alone_show_a_rotation_that_was_ignored(pack: OpenPack, tmp_path: Path) -> None:
    video = next(video for video in pack.contents.videos if video.name == "drawn-turned")
    path = tmp_path / "turned.mp4"
    path.write_bytes(pack.files[video.file])
    upright, stored = (np.stack([list(pictures(path, upright=way))[i] for i in video.indices]) for way in (True, False))
    spec, stride = pack.contents.clip, pack.contents.stride
    samples = prepare(stored, spec).reshape(-1)[::stride].astype(float)
    cause = causes.of_pixels(samples, upright, spec, stride, 4, video.stored_turn)
    assert cause is not None
    assert cause.faults == ("rotation ignored",)
