"""Phones that aren't: real adbd daemons behind a real adb server, in a world of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dvfl_mobile.files import CACHE_VARIABLE
from tests.device.adbd import Phone, System, World, emulate_arm64, opened_world
from tests.device_tools import PREFIX

_GETPROP = """#!/bin/sh
case $1 in
    ro.product.manufacturer) echo Debian ;;
    ro.product.model) echo 'Chroot for Arm' ;;
    ro.soc.model) echo qemu-user ;;
    ro.product.cpu.abi) echo arm64-v8a ;;
    ro.kernel.qemu) echo 1 ;;
    *) echo ;;
esac
"""


def _tools(name: str) -> Path:
    if not (PREFIX / f".{name}").exists():
        pytest.skip(f"needs what this unpacks: scripts/device-tools {PREFIX} {name}")
    return PREFIX


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with an adb server and no phone."""
    tools = _tools("adb")
    try:
        with opened_world(tools, tmp_path_factory.mktemp("world")) as opened:
            yield opened
    except RuntimeError as error:
        pytest.skip(f"needs namespaces that users may make: {error}")


@pytest.fixture(scope="session")
def x86_system() -> System:
    """A phone's system that is this machine's own."""
    return System(_tools("adb"), Path("/"), "/device-tools/bin/adbd")


@pytest.fixture(scope="session")
def arm64_system(world: World) -> System:
    """A phone's system for 64-bit Arm, which an emulator runs, down to its daemon and shell."""
    source = _tools("adb-arm64") / "arm64-device"
    try:
        emulate_arm64(world, _tools("arm64"))
    except RuntimeError as error:
        pytest.skip(f"needs a kernel whose users may have emulators of their own (Linux 6.7 and newer): {error}")
    return System(_tools("adb"), source, "/usr/sbin/adbd", _GETPROP, ("QEMU_CPU=cortex-a76",))


@pytest.fixture
def phone(world: World, x86_system: System) -> Iterator[Phone]:
    """A phone of its own for a test that may break it."""
    made = world.phone(x86_system)
    yield made
    made.leave()


@pytest.fixture
def arm64_phone(world: World, arm64_system: System) -> Iterator[Phone]:
    """As `phone`, of 64-bit Arm."""
    made = world.phone(arm64_system)
    yield made
    made.leave()


@pytest.fixture
def android_phone(world: World, arm64_system: System) -> Iterator[Phone]:
    """As `arm64_phone`, and says that Android runs on it."""
    getprop = arm64_system.getprop.replace("case $1 in", "case $1 in\n    ro.build.version.release) echo 14 ;;")
    made = world.phone(replace(arm64_system, getprop=getprop))
    yield made
    made.leave()


@pytest.fixture
def own_claims(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims on folders are kept apart from those of the user who runs the tests, and gone with a test."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
