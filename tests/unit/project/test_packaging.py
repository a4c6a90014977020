"""The package installs in each way that people install it, and its lists agree with the folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from dvfl_mobile.devices import environment
from dvfl_mobile.version import __version__

CHECKOUT = Path(__file__).parents[3]
MAPPED = {
    "android_harness": "dvfl_mobile.android_harness",
    "converters": "dvfl_mobile.converters",
    "quantization": "dvfl_mobile.quantization",
    "web_harness": "dvfl_mobile.web_harness",
}

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "Makefile").exists(), reason="packaging is tested from a checkout, not from an installed wheel"
)


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build looks at, so that it leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "dvfl-mobile"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (CHECKOUT / name).exists():
            shutil.copy(CHECKOUT / name, copy)
    for name in ("dvfl_mobile", *MAPPED):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def distributions(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source), cwd=folder)
    return {"sdist": next(folder.glob("*.tar.gz")), "wheel": next(folder.glob("*.whl"))}


def test_packages_are_the_folders_that_hold_code(project: dict) -> None:
    listed = project["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)
    assert set(listed) == _packages_on_disk()


def test_mapped_folders_are_where_the_map_says(project: dict) -> None:
    mapped = project["tool"]["setuptools"]["package-dir"]
    assert mapped == {"dvfl_mobile": "dvfl_mobile"} | {name: folder for folder, name in MAPPED.items()}


def test_the_sdist_and_the_wheel_hold_every_module(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    typed = {"dvfl_mobile/py.typed", "dvfl_mobile/__init__.pyi"}
    assert in_wheel == {*_modules_as_installed(), *_templates(), *_embedded(), *_sources(), *typed}
    assert licences
    with tarfile.open(distributions["sdist"]) as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "LICENSE", "converters/__init__.py", "dvfl_mobile/py.typed"} <= in_sdist


@pytest.mark.parametrize("way", ["folder", "editable", "wheel", "sdist"])
def test_it_installs_and_runs_from_anywhere(
    way: str, source: Path, distributions: dict[str, Path], tmp_path: Path
) -> None:
    python = _empty_environment(tmp_path / "venv")
    what = {
        "folder": [str(source)],
        "editable": ["--editable", str(source)],
        "wheel": [str(distributions["wheel"])],
        "sdist": [str(distributions["sdist"])],
    }[way]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Our own setuptools builds it, and the packages that it needs are lent, so that nothing is downloaded.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--no-deps", "--no-index"]
    _run(*pip, "--no-build-isolation", *what, cwd=tmp_path, env=environment)
    imported = "from dvfl_mobile import converters, quantization, model; print(converters.__file__)"
    where = Path(_run(str(python), "-P", "-c", imported, cwd=tmp_path, env=environment).strip())
    assert where.is_relative_to(source if way == "editable" else tmp_path / "venv")
    tool = python.parent / "dvfl-mobile"
    assert _run(str(tool), "--version", cwd=tmp_path, env=environment) == f"dvfl-mobile {__version__}\n"
    assert '"dvfl_mobile": "' in _run(str(tool), "doctor", "--json", cwd=tmp_path, env=environment)


def test_extras_are_those_that_doctor_knows(project: dict) -> None:
    extras = project["project"]["optional-dependencies"]
    assert set(extras) == {*environment._purposes(), "all", "dev"}
    assert extras["all"] == ["dvfl-mobile[executorch,coreml,tflite,quantize,video,plots,training,harness,web]"]


def test_the_base_is_light(project: dict) -> None:
    base = {re.split(r"[<>=~ ]", need)[0] for need in project["project"]["dependencies"]}
    assert base == {"numpy", "packaging", "pydantic", "rich", "typer"}


def test_every_dependency_is_pinned_by_version_alone(project: dict) -> None:
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+( ; .*)?", pin)] == []
    pinned = {_canonical(pin.split("==")[0]) for pin in pins}
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(need for name in extras for need in extras[name])]
    names = {_canonical(re.split(r"[<>=~\[ ]", need)[0]) for need in wanted} - {"dvfl-mobile"}
    # Not in `all`, so not in what the constraints are for.
    assert names - pinned == {"tensorflow"}


@pytest.mark.parametrize("name", MAPPED)
def test_a_bare_import_of_a_mapped_folder_is_refused_by_the_linter(name: str) -> None:
    for line in (f"import {name}\n", f"from {name} import base\n"):
        command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", "x.py", "-"]
        done = subprocess.run(command, input=line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"dvfl_mobile.{name}" in done.stdout


def _packages_on_disk() -> set[str]:
    return {module.rpartition("/")[0].replace("/", ".") for module in _modules_as_installed()}


def _templates() -> set[str]:
    """What a conformance pack and a kit bring, which isn't code of ours to run."""
    return {
        f"dvfl_mobile/{room}/templates/{path.name}"
        for room in ("pack", "devices/kit")
        for path in (CHECKOUT / "dvfl_mobile" / room / "templates").iterdir()
    }


def _embedded() -> set[str]:
    """The default student, and its card."""
    names = ("pico.json", "pico.md", "pico.safetensors")
    return {f"dvfl_mobile/model/embedded/{name}" for name in names}


def _sources() -> set[str]:
    """What the native programs are built of, and what a browser is served."""
    return {
        f"dvfl_mobile/{path.relative_to(CHECKOUT).as_posix()}"
        for folder in ("android_harness/runner", "web_harness/live", "web_harness/page")
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file()
    }


def _modules_as_installed() -> set[str]:
    """Every module of the package by its path once installed: `dvfl_mobile/converters/base.py`."""
    own = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "dvfl_mobile").rglob("*.py")}
    mapped = {
        f"dvfl_mobile/{path.relative_to(CHECKOUT).as_posix()}" for f in MAPPED for path in (CHECKOUT / f).rglob("*.py")
    }
    return own | mapped


def _empty_environment(folder: Path) -> Path:
    """A virtual environment that borrows our packages, but not our own install of dvfl-mobile."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder.parent)
    python = folder / "bin" / "python"
    site = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    lent = folder / "lent"
    lent.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match(r"(__editable__.*)?dvfl.mobile|.*\.pth$", entry.name):
            (lent / entry.name).symlink_to(entry)
    (site / "lent.pth").write_text(f"{lent}\n")
    return python


def _run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
