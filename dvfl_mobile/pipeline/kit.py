"""Make a kit: artifacts, clips and programs in a zip, for somebody who has a phone, adb and nothing else of this."""

from __future__ import annotations

import hashlib
import shlex
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices.android.facts import FACTS_SCRIPT
from dvfl_mobile.devices.android.state import STATE_SCRIPT
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import LICENCES, NAME, Bundle
from dvfl_mobile.devices.harness.options import INPUT, MODEL, OPTIONS
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.kit.record import STARTS_NAME, SUMS_NAME, KitArtifact, KitRecord, keep
from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.errors import InputError
from dvfl_mobile.files import atomic_file
from dvfl_mobile.pipeline.compare import AT_ONCE
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.version import __version__

MOST_CLIPS = 8
TOP = "dvfl-mobile-kit"
_PHONE = "phone"
_BEFOREHAND = ("run.sh", "run.cmd", "README.txt")
_NOBODY = DeviceFacts(device="kit", kind="physical", model="", system="", abi="arm64-v8a")


@dataclass(frozen=True)
class MadeKit:
    """A kit that was written.

    Attributes:
        kit_id: what its results are known by.
        starts: how often a program is started on the phone.
    """

    path: str
    kit_id: str
    size_bytes: int
    starts: int


def make_kit(
    artifacts: Sequence[Artifact],
    out: Path,
    clips: Path | None = None,
    most: int = MOST_CLIPS,
    plan: Plan | None = None,
    step: Step = silent,
) -> MadeKit:
    """Write a kit for 64-bit Arm, and keep what its results are judged by in this user's cache folder.

    On the phone it runs each artifact once on each clip, for parity, and then in the rounds of a profile.

    Args:
        clips: videos in any of the known layouts; None: drawn moving shapes.
        most: take no more clips than this.
        plan: of the profile; None: what `profile` does by default.

    Raises:
        InconclusiveError: no native program runs one of the artifacts.
        MissingDependencyError: the programs aren't here, and neither is what builds them.
        OutputError: the zip can't be written.
    """
    plan = plan or Plan()
    contents = _Contents()
    for artifact in artifacts:
        bundle = bundle_for("linux-arm64", artifact.manifest.target, step)
        with step(f"pack {artifact.folder}"):
            _record(artifact, bundle, contents, clips, most, plan)
    files = contents.files()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    kit_id = hashlib.sha256(sums.encode()).hexdigest()
    with atomic_file(out) as partial:
        _write(partial, files | {SUMS_NAME: sums.encode()}, contents.licences, kit_id)
        size_bytes = partial.stat().st_size
    record = KitRecord(
        version=__version__,
        sums=sums,
        starts=files[STARTS_NAME].decode(),
        bundles=contents.bundles,
        artifacts=tuple(
            KitArtifact(folder=str(each.folder.resolve()), sha256=each.manifest.files[0].sha256) for each in artifacts
        ),
        clips=None if clips is None else str(clips.resolve()),
        most=most,
        runs=plan.runs,
        warmup=plan.warmup,
        threads=plan.threads,
    )
    keep(record, kit_id)
    return MadeKit(str(out), kit_id, size_bytes, len(contents.starts))


@dataclass
class _Contents:
    """What goes to the phone, as it is gathered."""

    programs: dict[str, bytes] = field(default_factory=dict)
    licences: dict[str, bytes] = field(default_factory=dict)
    bundles: dict[str, str] = field(default_factory=dict)
    pushed: dict[str, bytes] = field(default_factory=dict)
    starts: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    starter: tuple[str, ...] = ()

    def add(self, bundle: Bundle, target: str) -> None:
        for file in bundle.files(target):
            data = (bundle.folder / file.name).read_bytes()
            # Both programs bring the same C library, unless somebody named a bundle of an older one.
            if self.programs.setdefault(file.name, data) != data:
                raise InputError(f"Two bundles have a {file.name} each that differ.", hint="Build both anew.")
        for file in bundle.files(LICENCES):
            self.licences[file.name] = (bundle.folder / file.name).read_bytes()
        self.bundles[target] = (bundle.folder / NAME).read_text(encoding="utf-8")
        self.starter = bundle.starter

    def files(self) -> dict[str, bytes]:
        """Each file below the folder that is pushed, but for the list of their hashes."""
        loader, *words = self.starter
        lines = [
            f"{index:03d} {program} {model} {taken}\n" for index, (program, model, taken, _) in enumerate(self.starts)
        ]
        script = _template("device.sh").replace("@STARTER@", shlex.join([f"./{loader}", *words]))
        script = script.replace("@FACTS@", FACTS_SCRIPT.strip()).replace("@STATE@", STATE_SCRIPT.strip())
        return {
            "device.sh": script.encode(),
            STARTS_NAME: "".join(lines).encode(),
            **{f"bundle/{name}": data for name, data in self.programs.items()},
            **{f"files/{name}": data for name, data in self.pushed.items()},
            **{f"starts/{index:03d}": options for index, (*_, options) in enumerate(self.starts)},
        }


class _NotedError(Exception):
    """A program would be started now."""


class _PlanningPlace:
    """A place that keeps what a program would be started with, and starts none."""

    def __init__(self, contents: _Contents) -> None:
        self._contents = contents
        self._hashes: dict[str, str] = {}
        self._options = b""

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:  # noqa: ARG002
        """Keep what tells one start from another."""
        if name == OPTIONS:
            self._options = source.read_bytes()
        elif name in (MODEL, INPUT):
            data = source.read_bytes()
            self._hashes[name] = hashlib.sha256(data).hexdigest()
            self._contents.pushed[self._hashes[name]] = data

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],  # noqa: ARG002
        seconds: float,  # noqa: ARG002
        on_line: Callable[[str], None],  # noqa: ARG002
        starter: tuple[str, ...] = (),  # noqa: ARG002
    ) -> int:
        """Note the start. Raises `_NotedError`, always."""
        self._contents.starts.append((program, self._hashes[MODEL], self._hashes[INPUT], self._options))
        raise _NotedError

    def get(self, name: str, most_bytes: int) -> bytes:  # noqa: ARG002
        """Never asked for."""
        raise AssertionError(name)

    def remove(self, name: str) -> None:
        """Nothing is there."""


def _record(artifact: Artifact, bundle: Bundle, contents: _Contents, clips: Path | None, most: int, plan: Plan) -> None:
    """Gather what an artifact needs on the phone, and the starts, by the code that later judges what came of them."""
    manifest = artifact.manifest
    contents.add(bundle, manifest.target)
    pixels = gather_clips(clips, manifest.clip, manifest.classes, silent, most).pixels
    timed, *_ = gather_clips(clips, manifest.clip, manifest.classes, silent, 1).pixels
    runner = NativeRunner(_PlanningPlace(contents), bundle, artifact.folder, manifest, _NOBODY)
    for start in range(0, len(pixels), AT_ONCE):
        _note(partial(runner.run, pixels[start : start + AT_ONCE]))
    for _ in range(plan.rounds):
        _note(partial(runner.measure, timed, plan.options()))
    _note(partial(runner.run, timed[None]))


def _note(start: Callable[[], object]) -> None:
    try:
        start()
    except _NotedError:
        return
    raise AssertionError("a kit's start ran something")


def _write(path: Path, files: dict[str, bytes], licences: dict[str, bytes], kit_id: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _BEFOREHAND:
            text = _template(name).replace("@ID@", kit_id[:16]).replace("@VERSION@", __version__)
            if name.endswith((".cmd", ".txt")):
                text = text.replace("\n", "\r\n")
            _add(archive, f"{TOP}/{name}", text.encode(), is_program=name == "run.sh")
        for name, data in licences.items():
            _add(archive, f"{TOP}/{name}", data)
        for name, data in sorted(files.items()):
            _add(archive, f"{TOP}/{_PHONE}/{name}", data)


def _add(archive: zipfile.ZipFile, name: str, data: bytes, *, is_program: bool = False) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o755 if is_program else 0o644) << 16
    archive.writestr(entry, data)


def _template(name: str) -> str:
    place = resources.files("dvfl_mobile.devices.kit") / "templates" / name
    return place.read_text(encoding="utf-8")
