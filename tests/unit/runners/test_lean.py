"""A child imports what runs its artifact, and not what converts one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from dvfl_mobile.runners.child.lean import bare, unimportable
from tests.conversions import skip_without

# What the runtimes' packages import for conversions, and what is there once one has been loaded.
_ALONE = """
import sys
from dvfl_mobile.runners.base import runtime_of
from dvfl_mobile.targets import TARGETS
runtime_of(TARGETS[sys.argv[1]].runner, alone=True)
for_conversions = {"torchao", "transformers", "executorch.exir", "coremltools.optimize.torch"}
print(*sorted({"torch", *for_conversions} & sys.modules.keys()))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of a compiler and a word, where whoever imports it imports the compiler."""
    folder = tmp_path / "everything"
    folder.mkdir()
    (folder / "__init__.py").write_text("from vendor_of_tests.everything import compiler\n")
    (folder / "compiler.py").write_text("")
    (folder / "word.py").write_text("WORD = 'word'\n")
    # Found without a change of sys.path, on which finding `tests` itself depends.
    vendor = ModuleType("vendor_of_tests")
    vendor.__path__ = [str(tmp_path)]
    vendor.__spec__ = ModuleSpec("vendor_of_tests", None, is_package=True)
    vendor.__spec__.submodule_search_locations = vendor.__path__
    monkeypatch.setitem(sys.modules, "vendor_of_tests", vendor)
    for name in ("everything", "everything.compiler", "everything.word"):
        monkeypatch.setitem(sys.modules, f"vendor_of_tests.{name}", None)
        monkeypatch.delitem(sys.modules, f"vendor_of_tests.{name}")
    return "vendor_of_tests.everything"


def test_a_bare_package_gives_a_module_without_the_rest_and_later_all(package: str) -> None:
    with bare(package):
        assert importlib.import_module(f"{package}.word").WORD == "word"
        assert f"{package}.compiler" not in sys.modules
    assert package not in sys.modules
    assert importlib.import_module(package).compiler is sys.modules[f"{package}.compiler"]
    with bare(package):
        assert hasattr(sys.modules[package], "compiler"), "what is there already stays"


def test_a_bare_package_of_none_is_a_missing_module() -> None:
    with pytest.raises(ImportError), bare("no_such_vendor.everything"):
        pass


def test_what_is_unimportable_is_so_for_a_while_and_what_is_there_stays(package: str) -> None:
    import json

    with unimportable(package, "json"):
        with pytest.raises(ImportError):
            importlib.import_module(package)
        assert importlib.import_module("json") is json
    assert importlib.import_module(package).__name__ == package


@pytest.mark.skipif(sys.platform != "linux", reason="on macOS Core ML's runner is another")
@pytest.mark.parametrize("target", ["executorch", "coreml"])
def test_no_converter_is_imported(target: str) -> None:
    skip_without(target)
    command = [sys.executable, "-P", "-W", "ignore", "-c", _ALONE, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "torch\n", done.stderr
