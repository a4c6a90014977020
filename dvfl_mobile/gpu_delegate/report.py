"""The GPU compatibility report: what the published rules say of every operator of a `.tflite`.

No GPU is asked. The delegate of a phone may be of another release, and its driver may refuse what the rules take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.documents import Document
from dvfl_mobile.gpu_delegate.graph import Graph, Operator, Tensor, read_graph
from dvfl_mobile.gpu_delegate.pieces import delegated_pieces
from dvfl_mobile.gpu_delegate.rules import EDITIONS, Edition, Fate, judge, unpacks_float16
from dvfl_mobile.wording import plural

NAME = "gpu-delegate.json"

NO_GPU = "By the delegate's published rules; no GPU was asked."
_INT8 = (
    "The delegate computes int8 models in floats: it unpacks constants once, unpacks and packs what goes in and out on "
    "the CPU at every run, and rounds between operators to imitate int8 "
    "(ai.google.dev/edge/litert/android/gpu_native). It does so unless an app turns "
    "TFLITE_GPU_EXPERIMENTAL_FLAGS_ENABLE_QUANT off."
)


class GpuRow(Document):
    """Operators of one kind in one module that share a fate.

    Attributes:
        reason: why they are refused, break or aren't known; empty for the others.
    """

    operator: str
    module: str
    fate: Fate
    reason: str
    count: int = Field(ge=0)
    multiply_adds: int = Field(ge=0)


class GpuRules(Document):
    """What one edition of the rules says.

    Attributes:
        pieces: into how many pieces the delegated part falls; None where an operator's fate isn't known.
        share: of the multiply-adds, 0 to 1, that runs on the GPU if all pieces do.
        default_share: the same of the one piece of most operators, which is all that the delegate takes unless an
            app raises `max_delegated_partitions`; None where `pieces` is.
        default_operators: how many operators that piece has.
        default_builds: whether nothing in it is known to fail when it is built; the delegate then gives up all.
    """

    rules: str
    source: str
    rows: tuple[GpuRow, ...]
    pieces: int | None
    share: float
    default_share: float | None
    default_operators: int | None
    default_builds: bool | None

    @property
    def operators(self) -> int:
        """How many operators the graph has."""
        return sum(row.count for row in self.rows)

    def of(self, *fates: Fate) -> tuple[GpuRow, ...]:
        """The rows of these fates, most multiply-adds first."""
        rows = (row for row in self.rows if row.fate in fates)
        return tuple(sorted(rows, key=lambda row: (-row.multiply_adds, -row.count)))


class GpuDelegateReport(Document):
    """What TFLite's GPU delegate would take of an artifact, by its published rules.

    Attributes:
        sha256: of the model's file.
        editions: the latest rules first.
    """

    schema_version: Literal[1] = 1
    model: str
    target: str
    recipe: str
    sha256: str
    editions: tuple[GpuRules, ...]
    notes: tuple[str, ...]


def gpu_delegate_report(manifest: Manifest, folder: Path) -> GpuDelegateReport:
    """The report on a TFLite artifact, whose files are known to be those of the manifest.

    Raises:
        ArtifactError: its file can't be read as a `.tflite`.
    """
    graph = read_graph(folder / manifest.file)
    return GpuDelegateReport(
        model=manifest.model,
        target=manifest.target,
        recipe=manifest.recipe,
        sha256=next(entry.sha256 for entry in manifest.files if entry.path == manifest.file),
        editions=tuple(apply(edition, graph) for edition in EDITIONS),
        notes=_notes(graph),
    )


def apply(edition: Edition, graph: Graph) -> GpuRules:
    """What an edition of the rules says of a graph."""
    operators = graph.operators
    seen = _as_seen(operators)
    judged = [judge(operator, edition) for operator in seen]
    fates = [fate for fate, _ in judged]
    counts: Counter[tuple[str, str, Fate, str]] = Counter()
    work: Counter[tuple[str, str, Fate, str]] = Counter()
    for operator, (fate, reason) in zip(operators, judged, strict=True):
        key = (operator.name, operator.module, fate, reason)
        counts[key] += 1
        work[key] += operator.multiply_adds
    pieces = None if Fate.UNKNOWN in fates else delegated_pieces(operators, fates)
    largest = None if pieces is None else max(pieces, key=len, default=[])
    taken = [index for index, fate in enumerate(fates) if fate in (Fate.TAKEN, Fate.BREAKS)]
    return GpuRules(
        rules=edition.name,
        source=edition.source,
        rows=tuple(
            GpuRow(operator=k[0], module=k[1], fate=k[2], reason=k[3], count=counts[k], multiply_adds=work[k])
            for k in counts
        ),
        pieces=None if pieces is None else len(pieces),
        share=_share(operators, fates, taken),
        default_share=None if largest is None else _share(operators, fates, largest),
        default_operators=None if largest is None else len(largest),
        default_builds=None if largest is None else all(fates[index] is not Fate.BREAKS for index in largest),
    )


def _share(operators: Sequence[Operator], fates: Sequence[Fate], chosen: Sequence[int]) -> float:
    """The share of the multiply-adds that these operators have; none where one of them breaks the program."""
    if not chosen or any(fates[index] is Fate.BREAKS for index in chosen):
        return 0.0
    total = sum(operator.multiply_adds for operator in operators)
    return sum(operators[index].multiply_adds for index in chosen) / total if total else 1.0


def _as_seen(operators: Sequence[Operator]) -> list[Operator]:
    """The operators as the delegate judges them: they read float16 weights, and not what unpacks them."""
    packed = {op.gives[0]: op.given[0] for op in operators if unpacks_float16(op) and op.gives}
    return [
        operator if unpacks_float16(operator) or packed.keys().isdisjoint(operator.reads) else _with(operator, packed)
        for operator in operators
    ]


def _with(operator: Operator, packed: dict[int, Tensor]) -> Operator:
    numbers = iter(operator.reads)
    inputs = tuple(None if t is None else packed.get(next(numbers), t) for t in operator.inputs)
    return replace(operator, inputs=inputs)


def _notes(graph: Graph) -> tuple[str, ...]:
    notes = [NO_GPU]
    if any(t.type in ("int8", "uint8") and not t.is_constant for op in graph.operators for t in op.given):
        notes.append(_INT8)
    if graph.subgraphs > 1:
        notes.append(f"The model has {plural(graph.subgraphs, 'graph')}; only the first is judged.")
    return tuple(notes)
