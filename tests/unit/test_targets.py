"""The tables of targets and of kinds of devices, and the texts that are made of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from types import MappingProxyType, ModuleType

import pytest

from dvfl_mobile import targets
from dvfl_mobile.cli.commands.convert import convert
from dvfl_mobile.cli.options import (
    device_help,
    devices_help,
    max_calls_help,
    min_delegated_help,
    minimum_ios_help,
    target_help,
)
from dvfl_mobile.devices import kinds
from dvfl_mobile.devices.base import find_device, found_devices
from dvfl_mobile.devices.kinds import Kind
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.errors import UsageError
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import Target, for_soc, target_named


@pytest.mark.parametrize("target", targets.every(), ids=lambda target: target.name)
def test_an_entry_names_modules_that_are_there_and_recipes_that_are_known(target: Target) -> None:
    for module in (target.converter, target.runner, target.tracer, target.threaded):
        assert module is None or find_spec(module), module
    assert target.meanings.keys() | target.instead.keys() == RECIPES.keys()
    assert not target.meanings.keys() & target.instead.keys()
    assert bool(target.own_runtime_on) is bool(target.run_by)
    assert target_named(target.name) is target


def test_a_target_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="There is no target 'onnx'") as caught:
        target_named("onnx")
    assert caught.value.hint == "Choose from: executorch, coreml, tflite, executorch-coreml, coreai, qualcomm."


def test_a_target_that_is_compiled_for_one_chip_is_named_with_it() -> None:
    for_one = target_named("qualcomm-SM8750")
    assert for_one == replace(target_named("qualcomm"), name="qualcomm-SM8750", soc="SM8750")
    assert for_soc([target_named("qualcomm")], "sm8750") == [for_one]
    assert for_soc([for_one], None) == for_soc([for_one], "SM8750") == [for_one]
    assert for_soc([target_named("tflite"), target_named("qualcomm")], "SM8750") == [target_named("tflite"), for_one]


@pytest.mark.parametrize(
    ("name", "soc", "problem", "hint"),
    [
        ("qualcomm", None, "compiled for one chip, and none is named", "Name it with `soc=`: SM8450, SM8475,"),
        ("qualcomm", "SM8570", "can't be compiled for 'SM8570'", "The nearest are SM8850, SM8750, SM8650."),
        ("qualcomm", "x", "can't be compiled for 'x'", "Choose from: SM8450,"),
        ("tflite", "SM8750", "`soc=SM8750` goes with a target that is compiled for one chip", "targets=qualcomm"),
        ("qualcomm-SM8750", "SM8650", "qualcomm-SM8750 is for another chip than SM8650", "Leave `soc=` out."),
        ("qualcomm-SM1", None, "qualcomm can't be compiled for 'SM1'", "Choose from: SM8450,"),
    ],
)
def test_a_chip_that_can_not_be_meant_is_refused(name: str, soc: str | None, problem: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        for_soc([target_named(name)], soc)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_the_chips_are_those_that_the_compiler_knows() -> None:
    pytest.importorskip("ai_edge_litert", reason="the compiler isn't installed")
    from ai_edge_litert.aot.vendors.qualcomm.target import SocModel

    assert {soc.value for soc in SocModel} - {"ALL", "SM8350"} == set(target_named("qualcomm").socs)


def test_help_is_made_of_the_table() -> None:
    assert target_help() == (
        "executorch, coreml, tflite, executorch-coreml, coreai or qualcomm; may be given several times. Default: all "
        "of the first three that are installed."
    )
    assert minimum_ios_help() == (
        "Core ML, Core ML in ExecuTorch only: the oldest iOS to run on, 16, 17 or 18. Default: 17, or what the recipe "
        "needs."
    )
    for made in (min_delegated_help(), max_calls_help()):
        assert made.endswith("with 7 where only the device knows (coreml, coreai).")


def test_the_help_of_convert_says_what_it_makes_without_a_target() -> None:
    *others, last = (target.title for target in targets.every() if not target.only_by_name)
    assert f"to {', '.join(others)} and {last}." in str(convert.__doc__)


def test_help_on_devices_is_made_of_their_kinds() -> None:
    assert device_help() == (
        "Where to run it: host:native, android:SERIAL, ios:UDID, arm64:CPU (emulated), htp (emulated), kit:FILE, gpu, "
        "or web. Default: this machine. See: dvfl-mobile devices"
    )
    assert devices_help() == (
        "host, host:native, android:SERIAL, ios:UDID, kit:FILE, gpu, web, or all that are ready; may be given several "
        "times. Default: host. See: dvfl-mobile devices"
    )


def test_a_kind_of_device_is_one_entry_and_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("toy_device")
    module.found = lambda: [FoundDevice(device="toy:1", kind="emulated", model="a toy", status="ready")]  # type: ignore[attr-defined]
    module.find = lambda argument: f"the toy {argument}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_device", module)
    # The others may have tools here that take their time.
    monkeypatch.setattr(kinds, "KINDS", MappingProxyType({"toy": Kind("toy_device", "NUMBER", "a toy", True)}))
    assert [each.device for each in found_devices()] == ["toy:1"]
    assert find_device("toy:1") == "the toy 1"
    assert "toy:NUMBER (emulated)" in kinds.spellings(emulated=True)
    with pytest.raises(UsageError) as caught:
        find_device("abacus")
    assert "toy:NUMBER" in caught.value.hint
