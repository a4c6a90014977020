"""Which policies a device keeps up with, by the latency that `profile` measured there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, ValidationError

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.documents import Document, Line, Verdict
from dvfl_mobile.errors import InputError
from dvfl_mobile.files import read_small
from dvfl_mobile.profiling.document import ArtifactProfile, DeviceProfile, ProfileReport
from dvfl_mobile.profiling.subjects import sha256_of_artifact
from dvfl_mobile.spelling import command
from dvfl_mobile.wording import first_problem

_MOST_BYTES = 64 * 2**20


class Pace(Document):
    """How fast a device is.

    Attributes:
        latency_ns: of one clip: what a long run settled at, or else the 90th percentile, or else the median.
        least_every: the closest stride, in ticks, that it keeps up with; frames aren't prepared in that time.
    """

    device: Line
    model: Line
    latency_ns: FiniteFloat = Field(gt=0)
    latency_of: Literal["steady", "p90", "median"]
    least_every: int = Field(ge=1)


def read_paces(path: Path, manifest: Manifest) -> tuple[Pace, ...]:
    """The devices on which an artifact was timed, from a `profile`'s report.

    Raises:
        InputError: it is no such report, or holds no time of this very artifact.
    """
    hint = f"Measure it: {command('profile')}"
    data = read_small(path, _MOST_BYTES, "is too large for a profile", hint=hint)
    try:
        report = ProfileReport.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{path} is no profile: {first_problem(error)}.", hint=hint) from error
    wanted = sha256_of_artifact(manifest)
    found = [(device, profile) for device in report.devices for profile in device.artifacts if profile.sha256 == wanted]
    paces = tuple(
        _pace(device, profile)
        for device, profile in found
        if profile.output.verdict is not Verdict.FAIL and device.device.kind == "physical"
    )
    if not paces:
        why = "only times whose output is wrong, or of emulated devices" if found else "no time of this artifact"
        raise InputError(f"{path} holds {why}.", hint=hint)
    return paces


def _pace(device: DeviceProfile, profile: ArtifactProfile) -> Pace:
    latency_ns, latency_of = _latency(device, profile)
    return Pace(
        device=device.device.device,
        model=device.device.model,
        latency_ns=latency_ns,
        latency_of=latency_of,
        least_every=max(1, math.ceil(latency_ns * TICKS_PER_S / 1e9)),
    )


def _latency(device: DeviceProfile, profile: ArtifactProfile) -> tuple[float, Literal["steady", "p90", "median"]]:
    steady_ns = device.sustained.steady_ns if device.sustained else None
    if steady_ns is not None and profile is device.a:
        return steady_ns, "steady"
    if profile.summary.p90_ns is not None:
        return profile.summary.p90_ns, "p90"
    return profile.summary.p50_ns, "median"
