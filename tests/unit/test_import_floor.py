"""Who may import whom: the floors of design.md, held by reading the code; and where vendors' libraries may be used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dvfl_mobile
from dvfl_mobile import converters, quantization

# The first pattern that fits a module, by its path without the package, is its floor.
FLOORS = (
    ("android_harness", 0),
    ("delegation", 0),
    ("errors", 0),
    ("files", 0),
    ("metrics", 0),
    ("packages", 0),
    ("progress", 0),
    ("wording", 0),
    ("catalog", 1),
    ("clips", 1),
    ("datasets", 1),
    ("environment", 1),
    ("leaks", 1),
    ("manifest", 1),
    ("model", 1),
    ("model.*", 1),
    ("shapes", 1),
    ("splits", 1),
    ("video", 1),
    ("quantization.scales", 1),
    ("quantization.settings", 1),
    ("quantization", 2),
    ("quantization.*", 2),
    ("training", 2),
    ("training.*", 2),
    ("converters", 3),
    ("converters.*", 3),
    ("runners", 3),
    ("runners.*", 3),
    ("devices", 4),
    ("devices.*", 4),
    ("artifacts", 4),
    ("confusion", 4),
    ("labelled", 4),
    ("opinions", 4),
    ("paired", 4),
    ("parity", 4),
    ("profiling", 4),
    ("profiling.*", 4),
    ("racing", 4),
    ("accuracy", 5),
    ("data_check", 5),
    ("evaluation", 5),
    ("gpu_delegate", 5),
    ("gpu_delegate.*", 5),
    ("foreign", 5),
    ("locating", 5),
    ("locating.*", 5),
    ("pack", 5),
    ("pack.*", 5),
    ("pipeline", 5),
    ("quantizing", 5),
    ("sources", 5),
    ("report", 5),
    ("report.*", 5),
    ("cli", 6),
    ("cli.*", 6),
    ("__main__", 6),
    ("", 6),
)

# In no other file than these, so that a new release of one is met in one place.
VENDORS = {
    "ai_edge_quantizer": ("converters.tflite*",),
    "ai_edge_litert": ("converters.tflite*", "runners.tflite*"),
    "av": ("pack.encoding", "video"),
    "coreai": ("converters.coreai*", "runners.coreai*"),
    "coreai_torch": ("converters.coreai*",),
    "coremltools": ("converters.coreml*", "runners.coreml*", "runners.mil.program"),
    "executorch": ("converters.executorch*", "converters.xnnpack*", "runners.executorch*"),
    "google": ("runners.mil.program",),
    "litert_torch": ("converters.tflite*",),
    "matplotlib": ("report.plots",),
    "safetensors": ("model.stored", "model.student"),
    "tensorflow": ("runners.tflite_tensorflow",),
    "yaml": ("training.official_config",),
    "torchao": ("quantization.*",),
    "torch": ("model.*", "quantization.*", "converters.*", "runners.*", "training.*", "locating.*"),
}
# torch's classes are what the network is made of, and torchao's what edges and quantizers are made of; the others are
# imported in the function that needs them.
AT_TOP_LEVEL = {"torch", "torchao"}
BASE = {"numpy", "packaging", "pydantic", "rich", "typer"}

# What commands use that must start in a blink, or work without any extra.
WITHOUT_EXTRAS = (
    "",
    "__main__",
    "catalog",
    "cli*",
    "clips",
    "datasets",
    "environment",
    "errors",
    "files",
    "gpu_delegate*",
    "leaks",
    "manifest",
    "metrics",
    "model.architecture",
    "model.source",
    "pack*",
    "paired",
    "parity",
    "report*",
    "shapes",
    "splits",
    "video",
    "wording",
)


@dataclass(frozen=True)
class Import:
    """One import statement: what it names, and whether it runs when the module is imported."""

    name: str
    line: int
    at_top_level: bool
    for_types: bool


def _modules() -> dict[str, Path]:
    """Every module of the installed package, by its name without the package: `converters.base`."""
    folders = {
        "": Path(dvfl_mobile.__file__).parent,
        "converters": Path(converters.__file__).parent,
        "quantization": Path(quantization.__file__).parent,
    }
    found = {}
    for prefix, folder in folders.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(part for part in (prefix, *parts) if part and part != "__init__")] = path
    return found


def _imports(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")).body, at_top_level=True, for_types=False))


def _walk(nodes: list[ast.stmt], *, at_top_level: bool, for_types: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_top_level, for_types)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import; this project names the whole path"
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, at_top_level, for_types)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            yield from _walk(_inside(node), at_top_level=at_top_level and not inside, for_types=for_types or types)


def _inside(node: ast.stmt) -> list[ast.stmt]:
    """The statements that stand directly in `node`, in whichever of its branches."""
    branches = [node, *getattr(node, "handlers", []), *getattr(node, "cases", [])]
    return [child for at in branches for name in ("body", "orelse", "finalbody") for child in getattr(at, name, [])]


MODULES = _modules()
IMPORTS = {name: _imports(path) for name, path in MODULES.items()}


def _floor(module: str) -> int:
    return next(floor for pattern, floor in FLOORS if fnmatch(module, pattern))


def _own(name: str) -> str | None:
    """The module of ours that an import names, without the package; None if it names none."""
    package, _, rest = name.partition(".")
    if package != "dvfl_mobile":
        return None
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest


def _own_imports(module: str) -> list[tuple[str, Import]]:
    found = [(_own(imported.name), imported) for imported in IMPORTS[module]]
    return [
        (own, imported) for own, imported in found if own is not None and imported.name != "dvfl_mobile.__version__"
    ]


def _fits(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_a_floor(module: str) -> None:
    assert any(fnmatch(module, pattern) for pattern, _ in FLOORS), "give it a line in FLOORS, and in the design"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_its_own_floor_or_below(module: str) -> None:
    upward = [
        f"line {imported.line}: {own} is on floor {_floor(own)}, and {module} on floor {_floor(module)}"
        for own, imported in _own_imports(module)
        if _floor(own) > _floor(module)
    ]
    assert upward == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {own for own, _ in _own_imports(module)} - {module} for module in MODULES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(("one", "other"), [("converters", "quantization"), ("quantization", "converters")])
def test_converters_and_quantization_leave_each_other_alone(one: str, other: str) -> None:
    crossing = [
        f"{module}, line {imported.line}"
        for module in MODULES
        if module.split(".")[0] == one
        for own, imported in _own_imports(module)
        if own.split(".")[0] == other
    ]
    assert crossing == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_library_stays_in_its_files(vendor: str) -> None:
    astray = [
        f"{module}, line {imported.line}"
        for module, imports in IMPORTS.items()
        for imported in imports
        if imported.name.split(".")[0] == vendor and not _fits(module, VENDORS[vendor])
    ]
    assert astray == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_vendors_are_imported_where_they_are_needed_and_nothing_else_is(module: str) -> None:
    known = {*sys.stdlib_module_names, *BASE, *AT_TOP_LEVEL, "dvfl_mobile"}
    for imported in IMPORTS[module]:
        library = imported.name.split(".")[0]
        assert library in {*known, *VENDORS}, f"line {imported.line}: {library} is neither in the base nor in VENDORS"
        if imported.at_top_level and not imported.for_types:
            assert library in known, f"line {imported.line}: import {library} in the function that needs it"


@pytest.mark.parametrize("module", sorted(module for module in MODULES if _fits(module, WITHOUT_EXTRAS)))
def test_what_works_without_extras_reaches_no_vendor(module: str) -> None:
    reached = [f"{at}, line {imported.line}: {imported.name}" for at, imported in _reached_vendors(module)]
    assert reached == []


def _reached_vendors(start: str) -> Iterator[tuple[str, Import]]:
    """The vendors' libraries that `import start` loads."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        waiting += [parent for parent in [module.rpartition(".")[0]] if parent in MODULES]
        for imported in IMPORTS[module]:
            if not imported.at_top_level or imported.for_types:
                continue
            if imported.name.split(".")[0] in VENDORS:
                yield module, imported
            own = _own(imported.name)
            waiting += [own] if own is not None else []
