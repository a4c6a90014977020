"""Who may import whom, by the rooms of docs/architecture.md, and where vendors' libraries may be used."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import modules

# A floor for each room, from the ground up: a module imports from its own room, or from rooms below. What lies loose at
# the package's top is the ground, and `__init__` and `__main__` are the roof. Drawn in docs/architecture.md.
GROUND = (
    "android_harness",
    "delegation",
    "documents",
    "errors",
    "files",
    "licences",
    "metrics",
    "progress",
    "spelling",
    "recipes",
    "targets",
    "version",
    "web_harness",
    "wording",
)
ROOMS = (
    "data",
    "model",
    "training",
    "quantization",
    "converters",
    "artifacts",
    "gpu_delegate",
    "mil",
    "runners",
    "devices",
    "parity",
    "locating",
    "evaluation",
    "profiling",
    "pack",
    "streaming",
    "pipeline",
    "report",
    "cli",
)
ROOF = ("", "__main__")
FLOORS = {
    **dict.fromkeys(GROUND, 0),
    **{room: floor for floor, room in enumerate(ROOMS, start=1)},
    **dict.fromkeys(ROOF, len(ROOMS) + 1),
}
MOST_FILES = 16
"""In a folder, `__init__` not counted: with more, nobody finds anything at a glance, and it wants rooms."""

# In no other file than these, so that a new release of one is met in one place.
VENDORS = {
    "ai_edge_quantizer": ("converters.tflite*",),
    "ai_edge_litert": ("converters.tflite*", "converters.qualcomm*", "runners.tflite.*", "runners.qualcomm.*"),
    "av": ("data.video", "pack.making.encoding"),
    "coreai": ("converters.coreai*", "runners.coreai*"),
    "coreai_torch": ("converters.coreai*",),
    "coremltools": ("converters.coreml*", "converters.executorch_coreml", "mil.program", "runners.coreml.*"),
    "executorch": ("converters.executorch*", "converters.xnnpack*", "runners.executorch.*"),
    "flatbuffers": ("runners.tflite.flatbuffer", "runners.qualcomm.context"),
    "google": ("mil.program",),
    "litert_torch": ("converters.tflite*",),
    "matplotlib": ("report.formats.plots",),
    "onnxruntime": ("runners.qualcomm.runner",),
    "onnxruntime_qnn": ("runners.qualcomm.runner",),
    "safetensors": ("model.checkpoint.safetensors_file", "model.student"),
    "segno": ("devices.web.invitation",),
    "tensorflow": ("runners.tflite.tensorflow",),
    "ruamel": ("converters.operator_table",),
    "yaml": ("converters.operator_table", "training.official.config"),
    "torchao": ("quantization.*",),
    "torch": ("model.*", "training.*", "quantization.*", "converters.*", "mil.*", "runners.*", "locating.*"),
}
# torch's classes are what the network is made of, and torchao's what edges and quantizers are made of; the others are
# imported in the function that needs them.
AT_TOP_LEVEL = {"torch", "torchao"}
BASE = {"numpy", "packaging", "pydantic", "rich", "typer"}

# What commands use that must start in a blink, or work without any extra.
WITHOUT_EXTRAS = (
    "",
    "__main__",
    *(module for module in GROUND),
    "artifacts.manifest",
    "artifacts.packages",
    "cli*",
    "data*",
    "devices.environment",
    "evaluation.paired",
    "gpu_delegate*",
    "model.architecture",
    "model.source",
    "pack*",
    "parity.judge",
    "parity.measure",
    "parity.report",
    "parity.thresholds",
    "report*",
)


@dataclass(frozen=True)
class Import:
    """One import statement: what it names, and whether it runs when the module is imported."""

    name: str
    line: int
    at_top_level: bool
    for_types: bool


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


MODULES = modules()
IMPORTS = {name: _imports(path) for name, path in MODULES.items()}


def _floor(module: str) -> int:
    return FLOORS[module.split(".")[0]]


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
    return [(own, imported) for own, imported in found if own is not None]


def _fits(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


def test_every_module_has_a_floor() -> None:
    homeless = [module for module in MODULES if module.split(".")[0] not in FLOORS]
    assert homeless == [], "give each a room, here and in docs/architecture.md"


def test_a_module_imports_from_its_own_room_or_below() -> None:
    upward = [
        f"{module}, line {imported.line}: {own} is on floor {_floor(own)}, and {module} on floor {_floor(module)}"
        for module in MODULES
        for own, imported in _own_imports(module)
        if _floor(own) > _floor(module)
    ]
    assert upward == []


def test_what_lies_at_the_top_is_the_ground_or_the_roof() -> None:
    loose = [module for module, path in MODULES.items() if "." not in module and path.name != "__init__.py"]
    assert sorted(loose) == sorted({*GROUND, *ROOF} - {"", "android_harness", "web_harness"})


def test_no_folder_holds_more_files_than_one_finds_at_a_glance() -> None:
    held = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert [f"{folder.name} holds {count}" for folder, count in held.items() if count > MOST_FILES] == []


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


def test_vendors_are_imported_where_they_are_needed_and_nothing_else_is() -> None:
    known = {*sys.stdlib_module_names, *BASE, *AT_TOP_LEVEL, "dvfl_mobile"}
    offenders = []
    for module, imports in IMPORTS.items():
        for imported in imports:
            library, at = imported.name.split(".")[0], f"{module}, line {imported.line}"
            if library not in {*known, *VENDORS}:
                offenders.append(f"{at}: {library} is neither in the base nor in VENDORS")
            elif imported.at_top_level and not imported.for_types and library not in known:
                offenders.append(f"{at}: import {library} in the function that needs it")
    assert offenders == []


def test_what_works_without_extras_reaches_no_vendor() -> None:
    reached = [
        f"{module} reaches {at}, line {imported.line}: {imported.name}"
        for module in MODULES
        if _fits(module, WITHOUT_EXTRAS)
        for at, imported in _reached_vendors(module)
    ]
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
