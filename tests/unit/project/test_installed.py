"""What an installed package must bring, wherever it lies: every module, every file, and a child for every runtime."""

from __future__ import annotations

import importlib
import pkgutil
from importlib import resources
from pathlib import Path

import pytest

import dvfl_mobile
from dvfl_mobile.devices.harness.build import sources_folder
from dvfl_mobile.model.card import EMBEDDED, WEIGHTS
from dvfl_mobile.runners.child.limits import limits_for
from dvfl_mobile.runners.child.process import Child
from dvfl_mobile.targets import TARGETS
from tests.conversions import skip_without

pytestmark = pytest.mark.installed


def test_every_module_can_be_imported() -> None:
    failed = {}
    for module in pkgutil.walk_packages(dvfl_mobile.__path__, "dvfl_mobile."):
        if module.name == "dvfl_mobile.__main__":
            continue  # it is the command
        try:
            importlib.import_module(module.name)
        except Exception as error:
            failed[module.name] = error
    assert failed == {}


def test_files_that_are_no_modules_are_found() -> None:
    assert (Path(dvfl_mobile.__file__).parent / "py.typed").is_file()
    assert (EMBEDDED / WEIGHTS).is_file()
    assert (sources_folder() / "CMakePresets.json").is_file()
    templates = {path.name for path in (resources.files("dvfl_mobile.pack") / "templates").iterdir()}
    assert {"Conformance.kt", "Conformance.swift"} <= templates


@pytest.mark.parametrize("target", TARGETS)
def test_a_child_gets_ready_to_run_an_artifact(target: str) -> None:
    skip_without(target)
    child = Child(Path("none"))
    try:
        child.prepare(TARGETS[target].runner, limits_for(1))
    finally:
        child.close()
