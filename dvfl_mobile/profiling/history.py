"""The profile history, JSON lines, and regressions from one version to the next."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import InputError
from dvfl_mobile.files import writing_to
from dvfl_mobile.profiling.document import ArtifactProfile, DeviceProfile, Interval, ProfileReport
from dvfl_mobile.profiling.statistics import Floats, medians, unpaired_interval
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few_only, plural

NAME = "profile-history.jsonl"
MOST_BYTES = 256 * 2**20


class Entry(Document):
    """One profile of one artifact on one device.

    Attributes:
        round_ns: the median of each round's runs.
        floor: the noise floor of the session, a ratio above 1; None where there were too few rounds for one.
    """

    schema_version: Literal[1] = 1
    when: Line
    tool_version: Line
    device: Line
    device_model: Line
    model: Line
    target: Line
    recipe: Line
    path: Line
    sha256: Line
    threads: int | None
    cores: tuple[int, ...]
    compute_units: Line | None
    runs: int
    p50_ns: FiniteFloat
    round_ns: tuple[float, ...] = Field(min_length=1)
    floor: FiniteFloat | None

    @property
    def subject(self) -> tuple[object, ...]:
        """What has to be the same for two entries to be versions of one thing, measured in one way."""
        return (
            self.model,
            self.target,
            self.recipe,
            self.device,
            self.device_model,
            self.threads,
            self.cores,
            self.compute_units,
        )


class Change(Document):
    """One version against the one before it; above 1: slower.

    Attributes:
        floor: the larger of what noise alone gives in a session and what sessions of one version differ by.
        result: `no change` where the interval holds 1 or the ratio lies within the floor.
    """

    ratio: FiniteFloat
    interval: Interval | None
    floor: FiniteFloat
    result: Literal["slower", "faster", "no change", "too few rounds"]


class Version(Document):
    """All sessions of one version of an artifact, in the order of time; `change` against the version before."""

    sha256: str
    first: str
    last: str
    sessions: int
    p50_ns: FiniteFloat
    change: Change | None


class Series(Document):
    """Versions of one artifact on one device, measured in one way."""

    device: str
    device_model: str
    model: str
    target: str
    recipe: str
    threads: int | None
    cores: tuple[int, ...]
    compute_units: str | None
    versions: tuple[Version, ...]

    @property
    def regressed(self) -> bool:
        """Whether the newest version is slower than the one before it."""
        change = self.versions[-1].change
        return change is not None and change.result == "slower"


class History(Document):
    """What `profile --history` shows.

    Attributes:
        notes: lines of the file that couldn't be read.
    """

    schema_version: Literal[1] = 1
    path: Line
    series: tuple[Series, ...]
    notes: tuple[Line, ...] = ()


def default_path(folder: Path) -> Path:
    """Beside all artifacts that a folder such as `out/nano/tflite/fp32` stands among: in `out`."""
    return folder.resolve().parents[2] / NAME if len(folder.resolve().parents) > 2 else folder / NAME


def entries_of(report: ProfileReport) -> list[Entry]:
    """What goes into the history of a report; sustained runs don't, whose rounds are of another kind."""
    return [
        _entry(report, device, profile)
        for device in report.devices
        if device.sustained is None
        for profile in device.artifacts
    ]


def append(path: Path, entries: Sequence[Entry]) -> None:
    """Add lines to a history, all of them or none, with other runs held off meanwhile.

    Raises:
        OutputError: the place can't be written.
    """
    if not entries:
        return
    data = "".join(entry.model_dump_json() + "\n" for entry in entries).encode()
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append_whole(handle, data)
        finally:
            os.close(handle)


def read(path: Path) -> tuple[list[Entry], tuple[str, ...]]:
    """Every entry of a history that can be read, in the order of time, and a sentence on those that can't.

    Raises:
        InputError: there is no such file, or it is larger than any history.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(
            f"There is no history {path}.",
            hint=f"Profile an artifact first, or name the file with {option('history_file')}.",
        ) from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{path} is larger than any history.", hint="Name the file that profile wrote.")
    entries, torn = [], []
    lines = data.decode("utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entries.append(Entry.model_validate(json.loads(line)))
        except (ValueError, RecursionError, ValidationError):
            torn.append(number)
    return sorted(entries, key=lambda entry: entry.when), tuple(_about_torn(torn, last=len(lines)))


def history_of(
    history_file: Path, model: str | None = None, target: str | None = None, recipe: str | None = None
) -> History:
    """The versions in a history, each against the one before it; of one artifact only where it is named.

    Raises:
        InputError: see `read`.
    """
    entries, notes = read(history_file)
    chosen = [
        entry
        for entry in entries
        if all(
            asked in (None, found)
            for asked, found in ((model, entry.model), (target, entry.target), (recipe, entry.recipe))
        )
    ]
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in chosen:
        groups.setdefault(entry.subject, []).append(entry)
    return History(path=str(history_file), series=tuple(map(_series, groups.values())), notes=notes)


def _entry(report: ProfileReport, device: DeviceProfile, profile: ArtifactProfile) -> Entry:
    artifact, asked = profile.artifact, report.asked
    return Entry(
        when=report.when,
        tool_version=report.tool_version,
        device=device.device.device,
        device_model=device.device.model,
        model=artifact.model,
        target=artifact.target,
        recipe=artifact.recipe,
        path=artifact.path,
        sha256=profile.sha256,
        threads=asked.threads,
        cores=asked.cores,
        compute_units=asked.compute_units,
        runs=profile.summary.runs,
        p50_ns=profile.summary.p50_ns,
        round_ns=tuple(medians([each.duration_ns for each in profile.rounds])),
        floor=device.noise.floor if device.noise else None,
    )


def _append_whole(handle: int, data: bytes) -> None:
    before = os.fstat(handle).st_size
    if before and os.pread(handle, 1, before - 1) != b"\n":
        # Another run was killed in the middle of its line: ours must not become a part of it.
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise


def _about_torn(numbers: Sequence[int], last: int) -> Iterator[str]:
    if not numbers:
        return
    why = " A run was ended while it wrote it." if numbers == [last] else ""
    lines = plural(len(numbers), "line")
    yield f"{lines} of the history can't be read and isn't shown: {first_few_only(numbers)}.{why}"


def _series(entries: Sequence[Entry]) -> Series:
    first = entries[0]
    # A version that comes back later is a new one: what matters is the change from what was there before.
    runs: list[list[Entry]] = []
    for entry in entries:
        if runs and runs[-1][-1].sha256 == entry.sha256:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    versions = []
    for index, sessions in enumerate(runs):
        versions.append(
            Version(
                sha256=sessions[0].sha256,
                first=sessions[0].when,
                last=sessions[-1].when,
                sessions=len(sessions),
                p50_ns=float(np.median([entry.p50_ns for entry in sessions])),
                change=_change(runs[index - 1], sessions) if index else None,
            )
        )
    return Series(
        device=first.device,
        device_model=first.device_model,
        model=first.model,
        target=first.target,
        recipe=first.recipe,
        threads=first.threads,
        cores=first.cores,
        compute_units=first.compute_units,
        versions=tuple(versions),
    )


def _change(before: Sequence[Entry], after: Sequence[Entry]) -> Change:
    ratio, interval = unpaired_interval(_logs(before), _logs(after))
    floors = [entry.floor for entry in (*before, *after) if entry.floor is not None]
    floor = max([1.0, *floors, _spread(before), _spread(after)])
    result: Literal["slower", "faster", "no change", "too few rounds"]
    if interval is None or not floors:
        result = "too few rounds"
    elif interval[0] <= 1 <= interval[1] or abs(math.log(ratio)) <= math.log(floor):
        result = "no change"
    else:
        result = "slower" if ratio > 1 else "faster"
    return Change(ratio=ratio, interval=interval, floor=floor, result=result)


def _logs(entries: Sequence[Entry]) -> Floats:
    return np.log(np.maximum([value for entry in entries for value in entry.round_ns], 1.0))


def _spread(entries: Sequence[Entry]) -> float:
    """The ratio of the slowest to the fastest session of one version: what the days alone make."""
    p50s = [entry.p50_ns for entry in entries]
    return max(p50s) / max(min(p50s), 1.0)
