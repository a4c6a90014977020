"""`stream` over labelled videos laid end to end: figures, sweeps, and the pace of devices."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.errors import InputError
from dvfl_mobile.profiling.document import ProfileReport
from dvfl_mobile.profiling.fleet import profile_fleet
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.profiling.subjects import Subject
from dvfl_mobile.progress import silent
from dvfl_mobile.streaming import pace
from dvfl_mobile.streaming.pace import Pace, read_paces
from tests.fake_device import MS, FakeDevice, expected, make_artifact, make_subject
from tests.unit.streaming.conftest import BRIGHT, DARK

Run = Callable[..., tuple[int, str, str]]
Film = Callable[..., Path]

SHARP = ("--half-life", "0", "--hysteresis", "0", "--every", "2")


@pytest.fixture
def data(tmp_path: Path, film: Film) -> Path:
    """Four test groups of two videos each, a second long, and one for training; nothing is named as a data set is."""
    for name, grey in (("Dark", DARK), ("Bright", BRIGHT)):
        for group in (1, 2, 9):
            for clip in (1, 2):
                film(tmp_path / "films" / name / f"v_{name}_g{group:02d}_c{clip:02d}.mp4", (30, grey))
    return tmp_path / "films"


def test_whole_groups_are_laid_end_to_end(run_command: Run, artifact: Artifact, data: Path) -> None:
    code, out, _ = run_command("stream", "--data", data, "--artifact", artifact.folder, *SHARP, "--json")
    report = json.loads(out)
    assert code == 0
    names = [re.findall(r"(Dark|Bright)_g(\d+)_c(\d+)", video["name"])[0] for video in report["videos"]]
    assert [clip for _, _, clip in names] == ["01", "02"] * 4
    assert names[::2] == [(label, group, "01") for label, group, _ in names[1::2]]
    assert {group for _, group, _ in names} == {"01", "02"}
    scenes = report["scenes"]
    assert [scene["is_cut"] for scene in scenes] == [False, True, True, True]
    assert all(scene["end_s"] - scene["start_s"] == pytest.approx(2, abs=1e-5) for scene in scenes)
    # The first right answer is that of the first clip of which two frames of four, 2 ticks apart, are new; clips end
    # with every second tick.
    assert all(scene["decided_s"] == pytest.approx(4 / 30, abs=1e-4) for scene in scenes[1:])
    figures = report["figures"]
    assert (figures["cuts"], figures["undecided"], figures["clips_per_s"]) == (3, 0, 15)
    assert figures["decided_median_s"]["value"] == pytest.approx(4 / 30, abs=1e-4)
    assert figures["right"]["value"] == pytest.approx((8 - 6 / 30 - 3 * 4 / 30) / 8, abs=1e-3)
    assert figures["right"]["interval"] is None  # four scenes are too few


def test_the_seed_decides_the_order(run_command: Run, artifact: Artifact, data: Path) -> None:
    def order(seed: int) -> list[str]:
        given = ("stream", "--data", data, "--artifact", artifact.folder, "--every", "30", "--seed", seed, "--json")
        return [video["name"] for video in json.loads(run_command(*given)[1])["videos"]]

    orders = [order(seed) for seed in (0, 0, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len(set(map(tuple, orders))) > 1


def test_a_sweep_on_the_page_and_on_the_terminal(
    run_command: Run, artifact: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Pace(device="<ios>", model="Phone & Co", latency_ns=150e6, latency_of="p90", least_every=5)
    monkeypatch.setattr(pace, "read_paces", lambda *_: (slow,))
    page, given = tmp_path / "page.html", ("--profile", "profile.json", "--every", "4", "--sweep")
    code, out, _ = run_command("stream", "--data", data, "--artifact", artifact.folder, *given, "--html", page)
    assert code == 0
    assert "it does not keep up with an answer every 4 ticks, load too slow" not in out
    assert re.search(r"does not keep\s+up with an answer every 4 ticks", out)
    assert "the closest that it keeps up with is every 5 ticks" in " ".join(out.split())
    assert re.search(r"Of 60 policies around this one nothing beats \d", out)
    text = page.read_text()
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)
    assert "<ios>" not in text
    assert "load on &lt;ios&gt;" in text
    assert text.count("<circle") == 60 + 1 + 4


def test_max_groups_takes_as_many_of_each_class(run_command: Run, artifact: Artifact, data: Path) -> None:
    given = ("--max-groups", "2", "--every", "30", "--json")
    _, out, _ = run_command("stream", "--data", data, "--artifact", artifact.folder, *given)
    report = json.loads(out)
    assert {scene["label"] for scene in report["scenes"]} == {"Dark", "Bright"}
    assert "2 of 4 groups, spread evenly by class." in report["notes"]


def test_one_labelled_video_tells_what_was_said(run_command: Run, artifact: Artifact, data: Path) -> None:
    video = data / "Dark" / "v_Dark_g01_c01.mp4"
    code, out, _ = run_command("stream", video, "--artifact", artifact.folder, *SHARP)
    assert code == 0
    assert re.search(r"time right +80\.0 %", out)
    assert re.search(r"0:00\.2 +0:01\.0 +Dark", out)


def test_what_does_not_go_together(run_command: Run, artifact: Artifact, film: Film, tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", (20, DARK))
    both = ("stream", video, "--data", tmp_path, "--artifact", artifact.folder)
    code, _, err = run_command(*both)
    assert (code, "one of both" in err) == (2, True)
    code, _, err = run_command("stream", "--artifact", artifact.folder)
    assert (code, "one of both" in err) == (2, True)
    code, _, err = run_command("stream", video, "--artifact", artifact.folder, "--sweep")
    assert (code, "not all videos have labels" in err) == (3, True)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(make_artifact(tmp_path_factory.mktemp("pace") / "out"))


def profiled(subject: Subject, path: Path, *devices: FakeDevice, plan: Plan | None = None) -> ProfileReport:
    by_name = {device.name: device for device in devices}
    report = profile_fleet(list(by_name), [subject], plan or Plan(), lambda _: silent, find=by_name.__getitem__)
    path.write_text(report.model_dump_json())
    return report


def test_a_pace_is_what_nine_of_ten_clips_take(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    slow = FakeDevice(name="android:SLOW", times=lambda *_: [70 * MS] * 8 + [101 * MS] * 2)
    report = profiled(subject, path, FakeDevice(), slow)
    quick, late = read_paces(path, subject.artifact.manifest)
    summary = report.devices[0].a.summary
    assert (quick.least_every, quick.latency_of) == (1, "p90" if summary.p90_ns else "median")
    assert (late.device, late.latency_ns, late.least_every) == ("android:SLOW", pytest.approx(101e6, rel=0.01), 4)


def test_profiles_that_say_nothing_of_it(subject: Subject, artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    profiled(subject, path, FakeDevice())
    with pytest.raises(InputError, match="no time of this artifact"):
        read_paces(path, artifact.manifest)
    profiled(subject, path, FakeDevice(logits=expected(subject.artifact.folder) * 2))
    with pytest.raises(InputError, match="only times whose output is wrong"):
        read_paces(path, subject.artifact.manifest)
    path.write_text("{}")
    with pytest.raises(InputError, match="is no profile"):
        read_paces(path, subject.artifact.manifest)
    with pytest.raises(InputError, match="can't be read"):
        read_paces(tmp_path / "none.json", subject.artifact.manifest)
