"""The tests that a pack brings: they name the fields that pack and results have, and run where there is a compiler."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.video import drawn_indices, pictures, probe
from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack import contents, results
from dvfl_mobile.pack.judging import judge
from dvfl_mobile.pack.making import drawn
from dvfl_mobile.pack.making.assemble import SCHEMA_NAME, TEMPLATES
from dvfl_mobile.parity.thresholds import thresholds_for

pytestmark = pytest.mark.installed

STAND_INS = Path(__file__).parents[2]
TEMPLATE_FOLDER = resources.files("dvfl_mobile.pack") / "templates"
WRITTEN = {
    "results": results.Results,
    "picture": results.PictureResult,
    "clip": results.ClipResult,
    "video": results.VideoResult,
    "frame": results.FrameResult,
    "summary": contents.Values,
}
PATTERNS = {
    "Conformance.kt": (r'\.put\(\s*"(\w+)"', r'\.(?:get\w+|isNull)\("(\w+)"\)'),
    "Conformance.swift": (r'"(\w+)": ', r'contents\["(\w+)"\]|entry\["(\w+)"\]|clip\["(\w+)"\]'),
}


def text_of(name: str) -> str:
    return (TEMPLATE_FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PATTERNS)
def test_the_fields_that_a_test_writes_are_those_of_results(name: str) -> None:
    written = re.findall(PATTERNS[name][0], text_of(name))
    wanted = [field for model in WRITTEN.values() for field in model.model_fields]
    assert sorted(written) == sorted(wanted)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_fields_that_a_test_reads_are_those_of_a_pack(name: str) -> None:
    found = re.findall(PATTERNS[name][1], text_of(name))
    read = {field if isinstance(field, str) else "".join(field) for field in found}
    known = {
        *contents.Pack.model_fields,
        *contents.GoldenPicture.model_fields,
        *contents.GoldenVideo.model_fields,
        *ClipSpec.model_fields,
    }
    assert read <= known
    assert {"stride", "grid", "clip", "frames", "pictures", "videos", "file", "width", "height", "name"} <= read


@pytest.mark.parametrize("name", PATTERNS)
def test_a_test_draws_the_formula_picture_that_the_pack_expects(name: str) -> None:
    source = re.sub(r"\s+", " ", text_of(name))
    assert "3 * x + 5 * y + 7 * c + 11 * t + x * y" in source
    assert drawn.formula_pictures(2, 20, 20)[1, 3, 5].tolist() == [(15 + 15 + 7 * c + 11 + 15) % 256 for c in range(3)]


@pytest.mark.parametrize("name", ["Conformance.kt", "Conformance.swift"])
def test_brackets_close(name: str) -> None:
    bare = re.sub(r'"(\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', "", text_of(name), flags=re.DOTALL)
    waiting = []
    for char in bare:
        if char in "([{":
            waiting.append(char)
        elif char in ")]}":
            assert waiting.pop() == {")": "(", "]": "[", "}": "{"}[char]
    assert waiting == []


def test_a_pack_holds_the_tests_and_a_schema_of_results(small_pack: SimpleNamespace) -> None:
    files = small_pack.opened.files
    assert {*TEMPLATES, SCHEMA_NAME} <= set(files)
    schema = json.loads(files[SCHEMA_NAME])
    assert set(schema["properties"]) == set(results.Results.model_fields)
    assert schema["additionalProperties"] is False


def kotlin() -> tuple[str, str]:
    """The compiler, and the class path of JUnit and Android's org.json."""
    jars = [f"/usr/share/java/{name}.jar" for name in ("junit4", "hamcrest", "json-android")]
    path = os.environ.get("DVFL_KOTLIN_CLASSPATH") or ":".join(jars)
    compiler = os.environ.get("DVFL_KOTLINC") or shutil.which("kotlinc")
    if compiler is None or not all(Path(jar).exists() for jar in path.split(":")):
        pytest.skip(
            "needs kotlinc (npm: kotlin-compiler), and Debian's junit4, libhamcrest-java and libandroid-json-org-java; "
            "or DVFL_KOTLINC and DVFL_KOTLIN_CLASSPATH"
        )
    return compiler, path


@pytest.fixture
def app_files(small_pack: SimpleNamespace, tmp_path: Path) -> Path:
    """A folder with the unpacked `pack`, and in `answers` what a decoder would give a stand-in for an app."""
    answers = tmp_path / "answers"
    answers.mkdir()
    with zipfile.ZipFile(small_pack.path) as archive:
        archive.extractall(tmp_path / "pack")
    for video in small_pack.opened.contents.videos:
        path = tmp_path / "pack" / video.file
        indices = drawn_indices(probe(path), small_pack.opened.contents.clip).tolist()
        frames = list(pictures(path))
        facts = [len(frames), video.width, video.height, *indices]
        (answers / f"{video.name}.txt").write_text(" ".join(map(str, facts)))
        (answers / f"{video.name}.rgb").write_bytes(np.stack([frames[index] for index in indices]).tobytes())
    return tmp_path


def check_passes(small_pack: SimpleNamespace, path: Path, app: str) -> None:
    found, pack = results.read(path), small_pack.opened
    results.check_belongs(found, path, pack.contents, pack.sha256, small_pack.path)
    report = judge.judge(pack, found, small_pack.path, path, thresholds_for("fp32"))
    assert (report.verdict, report.reasons, report.app) == (Verdict.PASS, (), app)
    exact = {check.measured for check in report.checks if check.stage in ("decoded frames", "resize and crop")}
    assert exact == {"identical"}


def test_the_kotlin_test_runs_and_what_it_writes_passes(small_pack: SimpleNamespace, app_files: Path) -> None:
    compiler, class_path = kotlin()
    jar, stand_in = app_files / "test.jar", STAND_INS / "kotlin" / "StandIn.kt"
    sources = [str(app_files / "pack" / "Conformance.kt"), str(stand_in)]
    run(compiler, "-nowarn", "-include-runtime", "-cp", class_path, "-d", str(jar), *sources)
    properties = [f"-Danswers={app_files / 'answers'}", f"-Dpack={app_files / 'pack'}"]
    run("java", *properties, "-cp", f"{jar}:{class_path}", "dvfl.conformance.StandInKt")
    check_passes(small_pack, app_files / "answers" / "pack-results.json", "StandIn.kt")


def swift() -> list[str]:
    """What has to stand before a command of Swift's: nothing, or such as a chroot that has it."""
    prefix = shlex.split(os.environ.get("DVFL_SWIFT_PREFIX", ""))
    if not prefix and shutil.which("swiftc") is None:
        pytest.skip("needs Swift with XCTest: swiftc, or DVFL_SWIFT_PREFIX, a command that runs it")
    return prefix


@pytest.mark.skipif(sys.platform != "linux", reason="it brings a stand-in for CryptoKit, which Apple has itself")
def test_the_swift_test_runs_and_what_it_writes_passes(small_pack: SimpleNamespace, app_files: Path) -> None:
    prefix = swift()
    for name in ("CryptoKit.swift", "main.swift"):
        shutil.copy(STAND_INS / "swift" / name, app_files)
    place, program = str(app_files), str(app_files / "stand-in")
    library = ["-module-name", "CryptoKit", "-emit-module-path", f"{place}/CryptoKit.swiftmodule"]
    static = ["-emit-library", "-static", "-emit-module", *library, "-o", f"{place}/libCryptoKit.a"]
    run(*prefix, "swiftc", "-O", *static, f"{place}/CryptoKit.swift")
    sources = [f"{place}/pack/Conformance.swift", f"{place}/main.swift"]
    run(*prefix, "swiftc", "-O", "-I", place, "-L", place, "-lCryptoKit", *sources, "-o", program)
    run(*prefix, "env", f"ANSWERS={place}/answers", f"PACK={place}/pack", program)
    check_passes(small_pack, app_files / "answers" / "pack-results.json", "main.swift")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
