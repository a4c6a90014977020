"""Profile several devices in parallel, a thread each; one that fails doesn't stop the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import TypeVar

from dvfl_mobile.devices import kinds
from dvfl_mobile.devices.base import Device, find_device, found_devices
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.errors import DeviceError, DvflMobileError
from dvfl_mobile.profiling.document import Asked, DeviceProfile, Failure, ProfileReport
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.profiling.session import StoppedError, check_is_physical, profile_device
from dvfl_mobile.profiling.subjects import Subject
from dvfl_mobile.progress import Step
from dvfl_mobile.spelling import command
from dvfl_mobile.version import __version__

ALL = "all"

_Result = TypeVar("_Result")


def chosen_devices(names: Sequence[str]) -> list[str]:
    """The devices to profile on, each once; `all` stands for every physical one that is ready.

    Raises:
        DeviceError: none is ready.
    """
    chosen: list[str] = []
    for name in names or ["host"]:
        chosen += ready_devices(found_devices()) if name == ALL else [name]
    return list(dict.fromkeys(chosen))


def ready_devices(found: Sequence[FoundDevice]) -> list[str]:
    """The names of the physical ones that are ready.

    Raises:
        DeviceError: there are none.
    """
    ready = [each.device for each in found if each.is_ready and each.kind == "physical" and not _is_only_by_name(each)]
    if not ready:
        raise DeviceError("No device is ready.", hint=f"See what keeps each: {command('devices')}")
    return ready


def _is_only_by_name(device: FoundDevice) -> bool:
    kind = kinds.kind_of(device.device)
    return kind is not None and kind.only_by_name


def profile_fleet(
    names: Sequence[str],
    subjects: Sequence[Subject],
    plan: Plan,
    step_for: Callable[[str], Step],
    *,
    bound: float | None = None,
    find: Callable[[str], Device] = find_device,
) -> ProfileReport:
    """Profile on each device of those names.

    A single device's failure is raised; of several, each that fails is a row of the report. One that is named in
    several ways is profiled once, under the first of them.

    Args:
        step_for: what shows the steps of the device of a name; called from several threads.

    Raises:
        DvflMobileError: see `profile_device`, for a single device.
    """
    stop = Event()

    def profile(name: str, device: Device) -> DeviceProfile:
        check_is_physical(device)
        return profile_device(device, subjects, plan, step_for(name), bound=bound, stop=stop)

    if len(names) == 1:
        return _report(plan, subjects, [profile(names[0], find(names[0]))])
    found = _found(names, find)
    devices = {name: each for name, each in found.items() if not isinstance(each, Failure)}
    firsts = _firsts(devices)
    for name, first in firsts.items():
        if name != first:
            with step_for(name)(f"{name} is {first}, which is profiled once"):
                pass
    outcomes = found | _in_parallel({name: devices[name] for name in firsts.values()}, profile, stop)
    return _report(plan, subjects, [outcomes[name] for name in names if firsts.get(name, name) == name])


def _found(names: Sequence[str], find: Callable[[str], Device]) -> dict[str, Device | Failure]:
    """The device of each name, or why it can't be used; all are looked for at once, as one may hang."""
    with ThreadPoolExecutor(len(names), thread_name_prefix="device") as pool:
        return dict(zip(names, pool.map(lambda name: _outcome(name, lambda: find(name)), names), strict=True))


def _firsts(devices: Mapping[str, Device]) -> dict[str, str]:
    """For each name the first one that asks for the same device."""
    firsts: dict[str, str] = {}
    for name, device in devices.items():
        firsts.setdefault(device.identity, name)
    return {name: firsts[device.identity] for name, device in devices.items()}


def _in_parallel(
    devices: Mapping[str, Device], profile: Callable[[str, Device], DeviceProfile], stop: Event
) -> dict[str, DeviceProfile | Failure]:
    """What each device came to."""

    def outcomes(group: Sequence[str]) -> list[tuple[str, DeviceProfile | Failure]]:
        return [(name, _outcome(name, partial(profile, name, devices[name]))) for name in group]

    groups = _machines(list(devices))
    with ThreadPoolExecutor(max(1, len(groups)), thread_name_prefix="device") as pool:
        waiting = [pool.submit(outcomes, group) for group in groups]
        try:
            return dict(pair for future in waiting for pair in future.result())
        except BaseException:
            # As by Ctrl-C: each device ends its round and is tidied up, before the pool lets go.
            stop.set()
            raise


def _machines(names: Sequence[str]) -> list[list[str]]:
    """Names of one machine together: `host` and `host:native` would disturb each other, and go in turn."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault("host" if name.partition(":")[0] == "host" else name, []).append(name)
    return list(groups.values())


def _outcome(name: str, work: Callable[[], _Result]) -> _Result | Failure:
    """What some work on a device gave, or its failure."""
    try:
        return work()
    except DvflMobileError as error:
        return Failure(device=name, problem=error.problem, hint=error.hint, exit_code=error.exit_code)
    except StoppedError:
        return Failure(device=name, problem="It was stopped.", hint="", exit_code=DeviceError.exit_code)
    except Exception as error:
        # A fault of ours on one device: the others' results are worth keeping, and this one is reported as what it is.
        problem = f"A fault of ours: {type(error).__name__}: {error}"
        return Failure(device=name, problem=problem, hint="Please report it.", exit_code=DvflMobileError.exit_code)


def _report(
    plan: Plan, subjects: Sequence[Subject], outcomes: Sequence[DeviceProfile | Device | Failure]
) -> ProfileReport:
    return ProfileReport(
        tool_version=__version__,
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        asked=Asked(
            runs=plan.runs,
            warmup=plan.warmup,
            threads=plan.threads,
            cores=plan.cores,
            compute_units=plan.compute_units,
            seed=plan.seed,
            clip=subjects[0].clip.name,
        ),
        devices=tuple(outcome for outcome in outcomes if isinstance(outcome, DeviceProfile)),
        failures=tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)),
    )
