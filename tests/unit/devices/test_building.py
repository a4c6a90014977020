"""What is missing to build the native programs is named, with what brings it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dvfl_mobile.devices.harness import build as building
from dvfl_mobile.devices.harness.build import check_tools
from dvfl_mobile.devices.harness.sources import sources_folder
from dvfl_mobile.errors import DeviceError, MissingDependencyError, MissingToolError

pytestmark = pytest.mark.installed


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_no_cmake_names_the_extra(tools: Path) -> None:
    with pytest.raises(MissingDependencyError, match="cmake isn't installed") as caught:
        check_tools("host")
    assert "dvfl-mobile[harness]" in caught.value.hint
    assert list(tools.iterdir()) == []


def test_an_old_cmake_names_the_extra_and_what_it_is(tools: Path) -> None:
    _write(tools, "cmake", "echo cmake version 3.25.1")
    with pytest.raises(MissingDependencyError, match=r"cmake 3\.28 isn't installed.*is cmake 3\.25"):
        check_tools("host")


def test_no_ninja_names_the_extra(tools: Path) -> None:
    _write(tools, "cmake", "echo cmake version 3.28.0")
    with pytest.raises(MissingDependencyError, match="ninja isn't installed"):
        check_tools("host")


@pytest.mark.parametrize(("system", "compiler"), [("host", "cc"), ("linux-arm64", "aarch64-linux-gnu-gcc")])
def test_no_compiler_says_how_to_get_one(system: building.SystemAbi, compiler: str, tools: Path) -> None:
    _write(tools, "cmake", "echo cmake version 4.0.1")
    _write(tools, "ninja", "")
    with pytest.raises(MissingToolError, match=f"no compiler {compiler}") as caught:
        check_tools(system)
    assert caught.value.exit_code == 4
    assert "apt install" in caught.value.hint


def test_the_sources_are_shipped_whole() -> None:
    folder = sources_folder()
    for name in ("CMakePresets.json", "cmake/bundle.cmake.in", "cmake/c_library.cmake", "check/arm.c"):
        assert (folder / name).is_file()
    for name in ("common/session.c", "common/session.h", "executorch/main.cpp", "litert/main.c"):
        assert (folder / name).is_file()


def test_a_build_that_fails_shows_the_end_of_what_it_said(tmp_path: Path) -> None:
    _write(tmp_path, "cmake", "for i in $(seq 40); do echo line $i; done; echo error: no such header; exit 3")
    with pytest.raises(DeviceError, match="cmake ended with 3") as caught:
        building._run([str(tmp_path / "cmake")], tmp_path)
    assert caught.value.hint.endswith("error: no such header")
    assert "line 5\n" not in caught.value.hint


def test_a_build_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_BUILD_S", 0.3)
    _write(tmp_path, "cmake", "exec sleep 60")
    with pytest.raises(DeviceError, match="took longer than"):
        building._run([str(tmp_path / "cmake")], tmp_path)


def test_a_compiler_that_changed_builds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    first = building._key(sources, "host", "tflite", "2.3.0")
    assert building._key(sources, "host", "tflite", "2.3.0") == first
    others = {
        building._key(sources, "host", "tflite", "2.3.1"),
        building._key(sources, "linux-arm64", "tflite", "2.3.0"),
        building._key(sources, "host", "executorch", "2.3.0"),
    }
    monkeypatch.setenv("CC", sys.executable)
    others.add(building._key(sources, "host", "tflite", "2.3.0"))
    monkeypatch.delenv("CC")
    (sources / "main.c").write_text("int main(void) { return 1; }\n", encoding="utf-8")
    others.add(building._key(sources, "host", "tflite", "2.3.0"))
    assert len(others - {first}) == 5


def test_a_compiler_of_another_version_builds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own words: an update puts another compiler into the same place."""
    sources = tmp_path / "sources"
    sources.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    keys = []
    for version in ("12.2.0", "12.2.0", "13.1.0"):
        _write(tmp_path, "aarch64-linux-gnu-gcc", f"echo gcc {version}")
        keys.append(building._key(sources, "linux-arm64", "tflite", "2.3.0"))
    library = tmp_path / "libc.so.6"
    _write(tmp_path, "aarch64-linux-gnu-gcc", f"[ $1 = --version ] && echo gcc 13.1.0 || echo {library}")
    for text in ("2.36", "2.41"):
        library.write_text(text, encoding="ascii")
        keys.append(building._key(sources, "linux-arm64", "tflite", "2.3.0"))
    assert keys[0] == keys[1]
    assert len(set(keys[1:])) == 4


def test_the_programs_own_hash_is_the_one_that_everybody_has(tmp_path: Path) -> None:
    """Lengths around a block's end are where padding goes wrong."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "main.c"
    source.write_text(MAIN, encoding="ascii")
    common = sources_folder() / "common"
    command = ["cc", "-std=c11", "-Wall", "-Werror", f"-I{common}", str(source), str(common / "sha256.c"), "-o"]
    subprocess.run([*command, str(tmp_path / "hash")], check=True, timeout=120)
    for size in (0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 100_003):
        data = bytes((7 * index + size) % 251 for index in range(size))
        said = subprocess.run([str(tmp_path / "hash")], input=data, capture_output=True, check=True, timeout=60).stdout
        assert said.decode() == hashlib.sha256(data).hexdigest(), size


MAIN = """
#include <stdio.h>
#include "sha256.h"
int main(void)
{
    struct sha256 hash;
    char piece[37], hex[SHA256_HEX_SIZE];
    size_t size;
    sha256_begin(&hash);
    while ((size = fread(piece, 1, sizeof piece, stdin)) > 0) {
        sha256_add(&hash, piece, size);
    }
    sha256_hex(&hash, hex);
    fputs(hex, stdout);
    return 0;
}
"""
