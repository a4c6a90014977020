"""`stream` over videos: what is said when, in every format, and what can't be watched."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.streaming import stream as streaming
from dvfl_mobile.streaming.policy import Policy, read_policy, series
from tests.unit.streaming.conftest import BRIGHT, CLASSES, DARK, GREY, DarkOrBright

Run = Callable[..., tuple[int, str, str]]
Film = Callable[..., Path]

SHARP = ("--half-life", "0", "--hysteresis", "0", "--every", "2")


@pytest.fixture
def video(tmp_path: Path, film: Film) -> Path:
    """A second of dark, one of bright."""
    return film(tmp_path / "film.mp4", (30, DARK), (30, BRIGHT))


def test_it_says_what_is_on(run_command: Run, artifact: Artifact, video: Path) -> None:
    code, out, _ = run_command("stream", video, "--artifact", artifact.folder, *SHARP, "--json")
    report = json.loads(out)
    assert (code, report["schema_version"], report["policy"]["every"]) == (0, 1, 2)
    assert report["duration_s"] == 2.0
    labels = {answer["seconds"]: answer["label"] for answer in report["answers"]}
    # A clip spans 6 ticks, and ends at the tick that it is of: the first at 6, then every 2nd.
    assert list(labels) == [tick / 30 for tick in range(6, 60, 2)]
    assert {label for at, label in labels.items() if at < 1} == {"Dark"}
    assert labels[1.0] == "Dark"  # one bright frame of four
    assert labels[34 / 30] == "Bright"
    assert report["answers"][0]["top"][0]["name"] == "Dark"
    assert report["notes"] == []


def test_the_policy_makes_it_slower(run_command: Run, artifact: Artifact, video: Path) -> None:
    slow = ("--half-life", "0.5", "--hysteresis", "0", "--every", "2")
    _, out, _ = run_command("stream", video, "--artifact", artifact.folder, *slow, "--json")
    first = next(answer["seconds"] for answer in json.loads(out)["answers"] if answer["label"] == "Bright")
    assert 1.5 < first < 1.7


def test_unsure_is_dont_know(run_command: Run, artifact: Artifact, film: Film, tmp_path: Path) -> None:
    grey = film(tmp_path / "grey.mp4", (20, GREY))
    code, out, _ = run_command("stream", grey, "--artifact", artifact.folder, "--threshold", "0.6")
    assert code == 0
    assert re.search(r"0:00\.2 +0:00\.7 +don't know", out)


def test_a_policy_file_and_options_that_change_it(
    run_command: Run, artifact: Artifact, video: Path, tmp_path: Path
) -> None:
    path, saved = tmp_path / "policy.json", tmp_path / "saved.json"
    policy = Policy(every=5, half_life_s=0.25, threshold=0.7, hysteresis=0.2)
    path.write_text(policy.model_dump_json())
    given = ("--policy", path, "--every", "3", "--save-policy", saved)
    code, _, _ = run_command("stream", video, "--artifact", artifact.folder, *given)
    assert code == 0
    assert read_policy(saved) == policy.model_copy(update={"every": 3})


def test_json_lines_hold_what_an_apps_policy_is_tried_on(
    run_command: Run, artifact: Artifact, video: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    run_command("stream", video, "--artifact", artifact.folder, "--jsonl", path)
    head, *lines = map(json.loads, path.read_text().splitlines())
    assert (head["schema_version"], head["classes"]) == (1, list(CLASSES))
    answers = series(Policy(**head["policy"]), [line["seconds"] for line in lines], [line["logits"] for line in lines])
    assert [line["probability"] for line in lines] == [answer.probability for answer in answers]
    known = [None if answer.label is None else CLASSES[answer.label] for answer in answers]
    assert [line["label"] for line in lines] == known


def test_subtitles(run_command: Run, artifact: Artifact, video: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.srt"
    run_command("stream", video, "--artifact", artifact.folder, *SHARP, "--srt", path)
    first, *between, last = path.read_text().split("\n\n")
    assert first == "1\n00:00:00,200 --> 00:00:01,067\nDark"
    assert last.endswith("--> 00:00:02,000\nBright\n")
    assert "(don't know)" in "".join(between)


def test_the_page_is_whole_and_holds_no_foreign_markup(
    run_command: Run, artifact: Artifact, film: Film, tmp_path: Path
) -> None:
    folder = tmp_path / "a<b>&"
    film(folder / "Dark" / "1.mp4", (40, DARK))
    film(folder / "Bright" / "2.mp4", (40, BRIGHT))
    path = tmp_path / "page.html"
    code, _, err = run_command("stream", folder, "--artifact", artifact.folder, "--html", path)
    assert (code, "The page is" in err) == (0, True)
    page = path.read_text()
    assert "<b>" not in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(svg)
    assert re.search(r"<title>[^<]*Dark/1.mp4: Dark</title>", page)
    assert "http" not in page
    assert "<script" not in page


def test_subtitles_go_with_one_video(run_command: Run, artifact: Artifact, film: Film, tmp_path: Path) -> None:
    for name in ("1.mp4", "2.mp4"):
        film(tmp_path / "videos" / name, (20, DARK))
    code, _, err = run_command("stream", tmp_path / "videos", "--artifact", artifact.folder, "--srt", "a.srt")
    assert (code, "subtitles go with one video" in err) == (2, True)


def test_what_cannot_be_watched(run_command: Run, artifact: Artifact, film: Film, tmp_path: Path) -> None:
    def refused(path: Path, *more: object) -> str:
        code, out, err = run_command("stream", path, "--artifact", artifact.folder, *more)
        assert (code, out) == (3, "")
        return err

    short = film(tmp_path / "short.mp4", (5, DARK))
    assert "ends after 0.17 s, and a clip takes 0.20 s" in refused(short)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "is empty" in refused(empty)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 40)
    assert "can't be read as a video" in refused(noise)
    assert "does not exist" in refused(tmp_path / "none.mp4")
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,label\n{short},0\nnone.mp4,1\n")
    assert "none.mp4" in refused(listed)
    policy = tmp_path / "policy.json"
    policy.write_text('{"every": 8')
    assert "is no policy" in refused(short, "--policy", policy)


def test_a_bad_video_among_good_ones_is_left_out_and_noted(
    run_command: Run, artifact: Artifact, film: Film, tmp_path: Path
) -> None:
    film(tmp_path / "videos" / "1.mp4", (20, DARK))
    (tmp_path / "videos" / "2.mp4").write_bytes(b"nonsense" * 100)
    film(tmp_path / "videos" / "3.mp4", (20, BRIGHT))
    code, out, _ = run_command("stream", tmp_path / "videos", "--artifact", artifact.folder, "--json")
    report = json.loads(out)
    assert code == 0
    assert [video["name"] for video in report["videos"]] == ["1.mp4", "3.mp4"]
    assert [video["start_s"] for video in report["videos"]] == [0.0, 0.666666]
    assert "2.mp4" in report["notes"][0]


def test_logits_that_are_not_finite_end_it(
    run_command: Run, artifact: Artifact, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(DarkOrBright):
        def run(self, clips: np.ndarray) -> np.ndarray:
            return np.full((len(clips), len(CLASSES)), np.nan, np.float32)

    monkeypatch.setattr(streaming, "open_runner", lambda *_: Broken())
    code, _, err = run_command("stream", video, "--artifact", artifact.folder)
    assert (code, "aren't finite" in err) == (5, True)


def test_memory_does_not_grow_with_the_video(run_command: Run, artifact: Artifact, film: Film, tmp_path: Path) -> None:
    def peak(video: Path) -> int:
        tracemalloc.start()
        run_command("stream", video, "--artifact", artifact.folder, "--every", "8")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    short, long = film(tmp_path / "short.mp4", (60, DARK)), film(tmp_path / "long.mp4", (600, DARK))
    peak(short)  # what is imported once
    assert peak(long) - peak(short) < 600 * 32 * 48 * 3 / 4
