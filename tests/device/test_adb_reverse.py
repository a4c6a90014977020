"""A port of a phone that leads to this machine, by the real adb on a real adbd."""

from __future__ import annotations

import pytest

from dvfl_mobile.errors import DeviceError
from tests.device.adbd import Phone, World


def ports(world: World, phone: Phone) -> list[str]:
    lines = world.adb("-s", phone.serial, "reverse", "--list").splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line]


def test_a_port_leads_here_and_then_no_more(world: World, phone: Phone) -> None:
    with phone.adb().port_from_there(18080):
        assert ports(world, phone) == ["tcp:18080 tcp:18080"]
    assert ports(world, phone) == []


def test_a_port_that_is_taken_is_said(phone: Phone) -> None:
    # The daemon's own port is one that is taken.
    port = int(phone.serial.split(":")[1])
    said = f"has a program of its own on port {port}"
    with pytest.raises(DeviceError, match=said), phone.adb().port_from_there(port):
        raise AssertionError


def test_a_phone_that_is_unplugged_meanwhile_is_let_go(phone: Phone) -> None:
    with phone.adb().port_from_there(18081):
        phone.kill()


def test_a_phone_that_is_gone_is_said(phone: Phone) -> None:
    phone.leave()
    with pytest.raises(DeviceError, match=r"is gone|lost"), phone.adb().port_from_there(18082):
        raise AssertionError
