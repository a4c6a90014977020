"""Making a pack: what is in it, how large it may be, and what the command says."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.clips import ClipSpec, normalize
from dvfl_mobile.data.video import pictures, probe, read_clip
from dvfl_mobile.errors import InconclusiveError, InputError, VideoError
from dvfl_mobile.pack import archive, stages
from dvfl_mobile.pack.judging.causes import channels_of_samples, input_values
from dvfl_mobile.pack.making import build, drawn, golden
from dvfl_mobile.pack.turns import TURNS
from dvfl_mobile.progress import silent
from tests.faults import quick
from tests.packs import App
from tests.threads import threads

pytest.importorskip("av", reason="a pack's videos are encoded by PyAV")

pytestmark = pytest.mark.installed

WriteVideo = Callable[..., Path]
Outcome = tuple[int, str, str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., Outcome], tmp_path: Path) -> Callable[..., Outcome]:
    monkeypatch.setattr(build, "open_runner", quick.open_runner)
    monkeypatch.chdir(tmp_path)
    return run_command


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


def test_a_pack_is_small_and_lists_every_file_by_its_hash(small_pack: SimpleNamespace) -> None:
    assert small_pack.path.stat().st_size < archive.MOST_BYTES
    with zipfile.ZipFile(small_pack.path) as zipped:
        names = zipped.namelist()
        assert names == sorted(names)
        head = json.loads(zipped.read("pack.json"))
        assert head["schema_version"] == 1
        listed = {entry["path"]: entry["sha256"] for entry in head["members"]}
        assert set(names) == {*listed, "pack.json"}
        for name, digest in listed.items():
            assert hashlib.sha256(zipped.read(name)).hexdigest() == digest
        assert {info.date_time for info in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_artifact_and_videos_give_the_same_bytes(small_pack: SimpleNamespace, golden_folder: Path) -> None:
    # As many threads as where the first was made: sums in another order have other last bits.
    with threads(1), mock.patch.object(build, "open_runner", quick.open_runner):
        again = build.build(small_pack.artifact, golden_folder)
    data = small_pack.path.read_bytes()
    # Hashes, since a difference of megabytes takes minutes to be shown.
    assert _hashes(again.data) == _hashes(data)
    assert hashlib.sha256(again.data).hexdigest() == hashlib.sha256(data).hexdigest()


def _hashes(pack: bytes) -> dict[str, str]:
    """Each member's hash, by its name."""
    with zipfile.ZipFile(io.BytesIO(pack)) as zipped:
        return {name: hashlib.sha256(zipped.read(name)).hexdigest() for name in zipped.namelist()}


def test_a_pack_says_what_the_manifest_says(small_pack: SimpleNamespace) -> None:
    manifest, pack = small_pack.artifact.manifest, small_pack.opened.contents
    assert pack.artifact.files == manifest.files
    assert (pack.artifact.classes, pack.clip) == (manifest.classes, manifest.clip)
    assert (pack.artifact.input, pack.artifact.output) == (manifest.inputs[0], manifest.outputs[0])


def test_golden_videos_hold_what_this_decoder_gives(small_pack: SimpleNamespace, tmp_path: Path) -> None:
    pack = small_pack.opened
    for video in pack.contents.videos:
        path = tmp_path / "video.mp4"
        path.write_bytes(pack.files[video.file])
        frames = list(pictures(path))
        assert [stages.sha256(frame) for frame in frames] == list(video.frames)
        assert np.array_equal(pack.thumbnails(video), np.stack([stages.thumbnail(frame) for frame in frames]))
        clip = read_clip(path, pack.contents.clip).pixels
        assert stages.sha256(clip) == video.pixels.sha256
        assert video.clip is not None
        assert np.array_equal(pack.clip(video), clip)
        assert np.array_equal(video.pixels.bytes_sampled(), stages.sampled(clip, pack.contents.stride))
        assert video.pixel_statistics.mean == pytest.approx(clip.mean(), abs=1e-5)


def test_what_phones_play_is_kept_and_other_videos_are_encoded(
    small_pack: SimpleNamespace, golden_folder: Path
) -> None:
    videos = {video.name: video for video in small_pack.opened.contents.videos}
    assert list(videos) == ["phone-clip", "old", "drawn-turned", "drawn-uneven"]
    kept = (golden_folder / "Phone clip.mp4").read_bytes()
    assert small_pack.opened.files["videos/phone-clip.mp4"] == kept
    assert "as H.264" in videos["old"].source
    assert videos["drawn-turned"].stored_turn == "turned by 90 degrees"
    assert (videos["drawn-turned"].width, videos["drawn-turned"].height) == (144, 192)
    assert [video.is_even for video in videos.values()] == [True, True, True, False]


def test_reference_and_artifact_logits_are_both_there(small_pack: SimpleNamespace) -> None:
    pack = small_pack.opened.contents
    assert pack.runner["runtime"] == "PyTorch"  # the stand-in for a runner
    assert all(video.artifact_logits == video.reference_logits for video in pack.videos)
    assert len({video.reference_logits for video in pack.videos}) == 4
    assert pack.tolerances.video_sqnr_db < 110
    assert "3 levels" in pack.tolerances.video_sqnr_reason


def test_an_artifact_that_nothing_here_runs_gives_a_pack_all_the_same(
    small_pack: SimpleNamespace, golden_folder: Path
) -> None:
    refusing = mock.Mock(side_effect=InconclusiveError("It runs on macOS only."))
    with mock.patch.object(build, "open_runner", refusing):
        made = build.build(small_pack.artifact, golden_folder)
    assert {video.artifact_logits for video in made.contents.videos} == {None}
    assert any("none of the artifact's own: It runs on macOS only." in note for note in made.notes)


def test_clips_that_do_not_fit_are_left_out_and_none_is_an_error(
    small_pack: SimpleNamespace, golden_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "open_runner", quick.open_runner)
    size = small_pack.path.stat().st_size
    monkeypatch.setattr(archive, "MOST_BYTES", size)
    made = build.build(small_pack.artifact, golden_folder)
    whole = [video.name for video in made.contents.videos if video.clip]
    assert 1 <= len(whole) < 4
    assert len(made.data) <= size
    assert any("clips are in the pack whole" in note for note in made.notes)
    monkeypatch.setattr(archive, "MOST_BYTES", 200_000)
    with pytest.raises(InputError, match=r"The pack takes [\d,]+ bytes; 200,000 are the most"):
        build.build(small_pack.artifact, golden_folder)


def test_videos_that_cannot_be_read_are_left_out_by_name(tmp_path: Path, write_video: WriteVideo) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    write_video(tmp_path / "b.mp4", 20)
    found, notes = golden.gather(tmp_path, ClipSpec(size=32, short_side=36), (), silent)
    assert [one.name for one in found] == ["b", "drawn-turned", "drawn-uneven"]
    assert len(notes) == 1
    assert "a.mp4" in notes[0]


def test_a_folder_without_a_usable_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="None of the 1 video"):
        golden.gather(tmp_path, ClipSpec(), (), silent)


def test_names_are_plain_and_there_once(tmp_path: Path, write_video: WriteVideo) -> None:
    for name in ("Ä b.mp4", "b.mp4", "B.mp4"):
        write_video(tmp_path / name, 10, codec="libx264")
    found, _ = golden.gather(tmp_path, ClipSpec(size=32, short_side=36), (), silent)
    assert [one.name for one in found[:3]] == ["b", "b-2", "b-3"]


@pytest.mark.parametrize("count", [10, 98_304, 1_204_224, 8 * 3 * 224 * 224 * 2])
def test_samples_leave_no_row_and_no_channel_out(count: int) -> None:
    stride = stages.sample_stride(count)
    assert stride == 1 or count % stride
    assert 5_000 <= -(-count // stride) <= 12_000 or count < 6_000
    if count == 98_304:
        channels = channels_of_samples((8, 3, 64, 64), stride)
        assert (np.bincount(channels) > 1800).all()


def test_a_thumbnail_is_the_rounded_mean_of_blocks() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 37, 3)).astype(np.uint8)
    found = stages.thumbnail(picture)
    for row, column in ((0, 0), (3, 7), (15, 15)):
        block = picture[row * 50 // 16 : (row + 1) * 50 // 16, column * 37 // 16 : (column + 1) * 37 // 16]
        assert found[row, column].tolist() == np.floor(block.reshape(-1, 3).mean(axis=0) + 0.5).tolist()


def test_every_turn_is_another_and_numbers_show_in_drawn_videos() -> None:
    picture = np.arange(24).reshape(2, 4, 3)
    laid = [lay(picture) for lay in TURNS.values()]
    assert len({(one.shape, one.tobytes()) for one in laid}) == 8
    shown = drawn.video_pictures(0)
    numbers = (shown[:, 108, 36 : 36 + 6 * 24 : 24, 0] > 127) @ (1 << np.arange(6))
    assert numbers.tolist() == list(range(48))


def test_the_input_is_what_the_runners_give(small_pack: SimpleNamespace) -> None:
    from dvfl_mobile.runners.base import as_input

    manifest = small_pack.artifact.manifest
    pixels = np.random.default_rng(0).integers(0, 256, manifest.clip.shape).astype(np.uint8)
    channels = np.broadcast_to(np.arange(3)[:, None, None], pixels.shape)
    entry = manifest.inputs[0]
    for changed in (entry, entry.model_copy(update={"scale": 1.7, "zero_point": -100})):
        for spec in (manifest.clip, manifest.clip.model_copy(update={"pixels": "normalized"})):
            other = manifest.model_copy(update={"inputs": (changed,), "clip": spec})
            found = input_values(pixels.astype(float), channels, spec, changed)
            # An int8 value may be rounded to either neighbour, as float32 and float64 see a tie.
            assert np.abs(found - as_input(pixels, other)).max() <= (1e-5 if changed.scale is None else 1)
    assert normalize(pixels, manifest.clip).dtype == np.float32


def test_the_command_writes_a_pack_and_says_what_is_in_it(
    small_pack: SimpleNamespace, golden_folder: Path, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    code, out, err = run("pack", small_pack.artifact.folder, "--clips", golden_folder, "-o", "made.zip")
    assert (code, "golden videos" in err) == (0, True)
    assert "made.zip, 0." in out
    assert "drawn-turned" in out
    assert archive.read(tmp_path / "made.zip").contents == small_pack.opened.contents
    code, out, _ = run("pack", small_pack.artifact.folder, "--clips", golden_folder, "--json")
    document = json.loads(out)
    assert (code, document["path"], document["schema_version"]) == (0, "pack.zip", 1)
    assert [video["name"] for video in document["pack"]["videos"]][-1] == "drawn-uneven"


def test_the_command_refuses_what_is_no_artifact(golden_folder: Path, run: Callable[..., Outcome]) -> None:
    assert run("pack", "nowhere", "--clips", golden_folder)[0] == 3
    code, _, err = run("pack", "nowhere")
    assert (code, "--clips" in err) == (2, True)


def app_of(small_pack: SimpleNamespace) -> App:
    table = {
        small_pack.opened.clip(v).tobytes(): np.array(v.reference_logits) for v in small_pack.opened.contents.videos
    }
    return App(small_pack.opened, lambda tensor: table.get(tensor.astype(np.uint8).tobytes(), np.zeros(5)))


def test_parity_judges_results_beside_their_pack(
    small_pack: SimpleNamespace, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = app_of(small_pack).write(tmp_path)
    (tmp_path / "pack.zip").write_bytes(small_pack.path.read_bytes())
    code, out, _ = run("parity", path.name)
    assert (code, out.split()[0]) == (0, "PASS")
    code, out, _ = run("parity", path.name, "-v")
    assert "drawn-uneven" in out


def test_parity_names_the_fault_in_every_language(
    small_pack: SimpleNamespace, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = app_of(small_pack).but(see=lambda frames: frames[..., ::-1]).write(tmp_path)
    files = ("--junit", "x.xml", "--markdown", "x.md", "--annotations", "github")
    code, out, err = run("parity", path, "--pack", small_pack.path, "--json", *files)
    document = json.loads(out)
    assert (code, document["verdict"]) == (5, "fail")
    assert document["first"]["stage"] == "decoded frames"
    assert document["first"]["cause"]["faults"] == ["channels swapped"]
    suite = ET.parse(tmp_path / "x.xml").getroot()[0]
    assert int(suite.get("failures", 0)) >= 4
    assert "channels swapped" in (tmp_path / "x.md").read_text()
    [line] = [line for line in err.splitlines() if line.startswith("::error ")]
    assert line.startswith("::error file=")
    assert "channels swapped" in line
    code, out, _ = run("parity", path, "--pack", small_pack.path)
    assert (code, out.split()[0]) == (5, "FAIL")
    assert "channels swapped" in out


@pytest.mark.parametrize("options", [("--json",), ("-v", "--annotations", "github")])
def test_check_app_says_what_parity_says_of_results(
    small_pack: SimpleNamespace, run: Callable[..., Outcome], tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = app_of(small_pack).but(see=lambda frames: frames[..., ::-1]).write(tmp_path)
    by_both = {}
    for command in ("parity", "check-app"):
        files = [tmp_path / f"{command}.{kind}" for kind in ("xml", "md")]
        outcome = run(command, path, "--pack", small_pack.path, "--junit", files[0], "--markdown", files[1], *options)
        by_both[command] = (outcome, *(file.read_text() for file in files))
    assert by_both["check-app"] == by_both["parity"]
    assert by_both["check-app"][0][0] == 5


def test_parity_ends_with_7_where_a_stage_is_missing(
    small_pack: SimpleNamespace, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = app_of(small_pack).but(logits=None).write(tmp_path)
    code, out, err = run("parity", path, "--pack", small_pack.path, "--annotations", "github")
    assert (code, out.split()[0]) == (7, "INCONCLUSIVE")
    assert "::warning " in err


def test_parity_shows_a_changed_threshold_of_results_too(
    small_pack: SimpleNamespace, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = app_of(small_pack).write(tmp_path)
    code, out, _ = run("parity", path, "--pack", small_pack.path, "--min-sqnr", "30", "--because", "GPU delegate, half")
    assert code == 0
    assert "30 dB in place of the 110 dB of fp32. Because: GPU delegate, half" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["results.json", "--clips", "x"], 2),
        (["results.json", "--reference", "x"], 2),
        (["results.json", "--max-clips", "3"], 2),
        (["folder", "--pack", "pack.zip"], 2),
        (["results.json"], 3),
        (["results.json", "--pack", "none.zip"], 3),
    ],
)
def test_options_that_do_not_go_together_and_files_that_are_not_there(
    arguments: list[str], code: int, run: Callable[..., Outcome]
) -> None:
    assert run("parity", *arguments)[0] == code


def test_an_artifact_of_another_model_is_refused(
    small_pack: SimpleNamespace, golden_folder: Path, tmp_path: Path
) -> None:
    from dvfl_mobile.errors import UsageError
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.model.student import save_student
    from tests.checkpoints import SMALL

    save_student(seeded_student(SMALL.model_copy(update={"num_classes": 7})), tmp_path / "other.safetensors")
    artifact = Artifact(small_pack.artifact.folder, small_pack.artifact.manifest)
    with pytest.raises(UsageError, match="isn't the model"):
        build.build(artifact, golden_folder, tmp_path / "other.safetensors")


def test_probe_and_pictures_agree(golden_folder: Path) -> None:
    path = golden_folder / "old.avi"
    assert probe(path).decoded == len(list(pictures(path))) == 40
