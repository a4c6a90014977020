"""The environment: versions and extras installed here, and which targets convert and run.

Read from the packages' metadata alone; nothing is imported to look at it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from dvfl_mobile import targets
from dvfl_mobile.data.root import DATA_VARIABLE
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import needs
from dvfl_mobile.licences import LICENCES, LicenceState, accept, state_of
from dvfl_mobile.spelling import spelled
from dvfl_mobile.targets import Target

# What each extra is for that isn't a target's own. The packages in it are read from our own metadata, so that they
# stand in one place.
_OTHER_EXTRAS = {
    "quantize": "find scales, and train with rounding in place",
    "video": "read video files",
    "plots": "draw what quantize {sensitivity}, parity {locate}, profile {html}, training and evaluate show",
    "training": "train and distil",
    "harness": "build the native programs that devices run",
    "web": "show a page's address as a QR code",
}
_EXTRAS_BY_NAME = {"tensorflow": "a second opinion on a .tflite; no conversion needs it"}

_CPU_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
_MACOS_FEATURES = {"hw.optional.arm.FEAT_DotProd": "asimddp", "hw.optional.arm.FEAT_I8MM": "i8mm"}


class Machine(Document):
    """The machine; `cores` are those that this process may use."""

    system: str
    architecture: str
    cpu: str
    cores: int
    features: tuple[str, ...]
    memory_bytes: int
    free_disk_bytes: int


class Extra(Document):
    """An extra of dvfl-mobile: `problems` is empty when all that it names is installed in a version that fits."""

    name: str
    purpose: str
    packages: dict[str, str | None]
    problems: tuple[str, ...]


class TargetState(Document):
    """Whether a target's artifacts can be made here, and run here; `why_not_run` is empty when they can.

    Attributes:
        run_by: what runs them where it isn't the target's own runtime.
        socs: the chips that it can be compiled for; empty where one artifact is for all.
    """

    name: str
    converts: bool
    runs: bool
    why_not_run: str
    run_by: str = ""
    socs: tuple[str, ...] = ()


class Environment(Document):
    """The document that `doctor --json` prints."""

    schema_version: Literal[1] = 1
    dvfl_mobile: str
    python: str
    machine: Machine
    base: dict[str, str | None]
    extras: tuple[Extra, ...]
    targets: tuple[TargetState, ...]
    licences: tuple[LicenceState, ...]
    data_root: str | None
    data_folders: tuple[str, ...]
    install: str | None

    def missing_for(self, names: Sequence[str]) -> list[str]:
        """What keeps the named targets, or extras, from being used here, a sentence each."""
        found = {name: targets.find(name) for name in names}
        wanted = {target.extra if target else name for name, target in found.items()}
        missing = [problem for extra in self.extras if extra.name in wanted for problem in extra.problems]
        needed = {target.licence for target in found.values() if target}
        unaccepted = [_unaccepted(licence) for licence in self.licences if licence.name in needed and licence.text]
        return [*missing, *filter(None, unaccepted)]


def look_around(accept_licence: str | None = None) -> Environment:
    """Look at the machine and the installed packages.

    Args:
        accept_licence: a licence to accept first, for this user and for good, by its name.

    Raises:
        UsageError: there is no such licence.
        MissingDependencyError: dvfl-mobile runs from a bare folder, so that nothing says what it needs.
    """
    if accept_licence is not None:
        accept(accept_licence)
    purposes = _purposes()
    required = _requirements(purposes)
    extras = {name: _extra(name, purpose, required[name]) for name, purpose in purposes.items()}
    licences = {name: state_of(licence) for name, licence in LICENCES.items()}
    by_name = {*_EXTRAS_BY_NAME, *(target.extra for target in targets.every() if target.only_by_name)}
    root = os.environ.get(DATA_VARIABLE) or None
    return Environment(
        dvfl_mobile=version("dvfl-mobile"),
        python=platform.python_version(),
        machine=_machine(),
        base={need.name: _version(need.name) for need in required[""]},
        extras=tuple(extras.values()),
        targets=tuple(
            _target_state(target, extras[target.extra], licences.get(target.licence)) for target in targets.every()
        ),
        licences=tuple(licences.values()),
        data_root=root,
        data_folders=_folders(Path(root)) if root else (),
        install=_install_command([name for name, extra in extras.items() if extra.problems and name not in by_name]),
    )


def _purposes() -> dict[str, str]:
    """What each extra is for, those that the extra `all` leaves out last."""
    usual, others = ({t.extra: t.purpose for t in targets.every() if t.only_by_name is last} for last in (False, True))
    return {**usual, **_OTHER_EXTRAS, **others, **_EXTRAS_BY_NAME}


def _requirements(extras: Iterable[str]) -> dict[str, list[Requirement]]:
    """Our own requirements by extra, read from our metadata; the base ones under an empty name."""
    why = "it runs from a folder, and only an installed one knows what it needs"
    with needs("dvfl-mobile", extra="all", why=why):
        lines = requires("dvfl-mobile") or []
    required: dict[str, list[Requirement]] = {name: [] for name in ("", *extras)}
    for need in map(Requirement, lines):
        for name in required:
            extra_only = need.marker is not None and not _applies(need, "")
            if _applies(need, name) and (extra_only or not name):
                required[name].append(need)
    return required


def _applies(need: Requirement, extra: str) -> bool:
    return need.marker is None or need.marker.evaluate({"extra": extra})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extra(name: str, purpose: str, required: list[Requirement]) -> Extra:
    packages = {need.name: _version(need.name) for need in required}
    problems = []
    for need in required:
        found = packages[need.name]
        if found is None:
            problems.append(f"{need.name} isn't installed")
        elif not need.specifier.contains(found, prereleases=True):
            problems.append(f"{need.name} is {found}, and {name} needs {need.specifier}")
    return Extra(name=name, purpose=spelled(purpose), packages=packages, problems=tuple(problems))


def _target_state(target: Target, extra: Extra, licence: LicenceState | None) -> TargetState:
    runtime = target.runtime_package
    why_not = "" if runtime is None or _version(runtime) else f"{runtime} isn't installed"
    if licence is not None and not why_not:
        why_not = _unaccepted(licence)
    is_executed = target.is_executed_on(platform.system()) and not why_not
    return TargetState(
        name=target.name,
        converts=not extra.problems and (licence is None or licence.is_accepted),
        runs=not why_not,
        why_not_run=why_not,
        run_by=target.run_by if is_executed else "",
        socs=target.socs,
    )


def _unaccepted(licence: LicenceState) -> str:
    return "" if licence.is_accepted else f"{licence.title} isn't accepted"


def _install_command(extras: list[str]) -> str | None:
    return f"pip install 'dvfl-mobile[{','.join(extras)}]'" if extras else None


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir())) if root.is_dir() else ()


def _machine() -> Machine:
    cpu, features = _macos_cpu() if platform.system() == "Darwin" else _linux_cpu()
    return Machine(
        system=f"{platform.system()} {platform.mac_ver()[0] or platform.release()}",
        architecture=platform.machine(),
        cpu=cpu or platform.processor() or "unknown CPU",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        features=features,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        free_disk_bytes=shutil.disk_usage(Path.cwd()).free,
    )


def _linux_cpu() -> tuple[str, tuple[str, ...]]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "", ()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()
    return facts.get("model name", ""), tuple(feature for feature in _CPU_FEATURES if feature in flags)


def _macos_cpu() -> tuple[str, tuple[str, ...]]:
    values = {name: _sysctl(name) for name in ("machdep.cpu.brand_string", *_MACOS_FEATURES)}
    features = tuple(feature for name, feature in _MACOS_FEATURES.items() if values[name] == "1")
    return values["machdep.cpu.brand_string"], features


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
