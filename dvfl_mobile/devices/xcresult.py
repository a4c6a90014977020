"""What a performance test of Xcode's measured: `xcresulttool get test-results metrics`, of Xcode 16.3 and later."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dvfl_mobile.devices.ios.tools import check_xcode, run_tool
from dvfl_mobile.errors import DeviceError, InputError
from dvfl_mobile.wording import first_problem

CLOCK = "com.apple.dt.XCTMetric_Clock.time.monotonic"
"""The identifier of XCTClockMetric's figure."""

_READ_S = 120
_NANOSECONDS = MappingProxyType({"s": 1e9, "ms": 1e6, "μs": 1e3, "µs": 1e3, "us": 1e3, "ns": 1.0})

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    # Xcode adds fields from version to version; what is named here must be there.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Metric(_Part):
    """One figure of a test, once for each time that it was measured."""

    identifier: str = ""
    display_name: str = Field(alias="displayName")
    unit: str = Field(alias="unitOfMeasurement")
    measurements: tuple[Finite, ...]


class TestDevice(_Part):
    """Where a test ran."""

    device_id: str = Field(default="", alias="deviceId")
    device_name: str = Field(default="", alias="deviceName")


class TestRun(_Part):
    """A test on one device."""

    device: TestDevice
    metrics: tuple[Metric, ...]


class TestMetrics(_Part):
    """All that was measured of one test."""

    test: str = Field(alias="testIdentifier")
    runs: tuple[TestRun, ...] = Field(alias="testRuns")


_METRICS = TypeAdapter(tuple[TestMetrics, ...])


def read_metrics(bundle: Path) -> tuple[TestMetrics, ...]:
    """The metrics in an `.xcresult`.

    Raises:
        InputError: there is no such bundle.
        DeviceError: there is no Xcode here, it can't read the bundle, or its answer can't be understood.
    """
    if not bundle.exists():
        raise InputError(f"{bundle} does not exist.", hint="Name the folder of -resultBundlePath.")
    check_xcode()
    ended = run_tool(["xcresulttool", "get", "test-results", "metrics", "--path", str(bundle), "--compact"], _READ_S)
    if ended.status != 0:
        raise DeviceError(
            f"xcresulttool can't read {bundle}: {ended.complaint or f'it ended with status {ended.status}'}",
            hint="The command is there since Xcode 16.3.",
        )
    return parse_metrics(ended.stdout, str(bundle))


def parse_metrics(text: bytes, source: str) -> tuple[TestMetrics, ...]:
    """The metrics in what xcresulttool printed of `source`.

    Raises:
        DeviceError: it can't be understood.
    """
    try:
        return _METRICS.validate_json(text)
    except ValidationError as error:
        raise DeviceError(
            f"What xcresulttool says of {source} can't be understood: {first_problem(error)}.",
            hint="Update dvfl-mobile, or choose the Xcode that made the bundle with xcode-select.",
        ) from error


def durations_ns(run: TestRun) -> list[int]:
    """Nanoseconds of each measurement of the clock.

    Raises:
        DeviceError: it wasn't measured, or in a unit that isn't known.
    """
    found = [metric for metric in run.metrics if metric.identifier == CLOCK]
    if len(found) != 1:
        raise DeviceError(f"The test measured no {CLOCK}.", hint="It has to measure with XCTClockMetric.")
    unit = found[0].unit
    if unit not in _NANOSECONDS:
        raise DeviceError(f"The clock was measured in {unit!r}, which isn't known.", hint="Update dvfl-mobile.")
    return [round(value * _NANOSECONDS[unit]) for value in found[0].measurements]
