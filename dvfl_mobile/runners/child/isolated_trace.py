"""Trace in a child process: the operators as one document, then their values one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.child.engine import Engine
from dvfl_mobile.runners.child.frames import Document
from dvfl_mobile.runners.child.limits import TRACED_PER_CLIP_BYTE, Limits
from dvfl_mobile.runners.child.process import Child
from dvfl_mobile.runners.traces import Step, Trace
from dvfl_mobile.runners.values import Pixels


def traced_by_child(
    runner: str, tracer: str, folder: Path, manifest: Manifest, clip: Pixels, engine: Engine | None = None
) -> Trace:
    """Have a child process trace an artifact, whose files are known to be those of the manifest.

    Args:
        runner, tracer: the target's modules.
        engine: what computes, where that isn't the CPU; its settings are the tracer's.

    Raises:
        ArtifactError: it can't be traced, or the child crashed, took too long or needed too much memory.
        MissingDependencyError: the target's packages aren't installed.
    """
    engine = engine or Engine()
    child = Child(folder / manifest.file, writes=True, environment=engine.environment)
    try:
        limits = engine.limits_for(manifest)
        child.prepare(runner, limits, tracer)
        return _traced(child, tracer, folder, manifest, clip, limits, engine.settings)
    finally:
        child.close()


def document_of(trace: Trace) -> Document:
    """A trace without its values, as an object that JSON can hold."""
    return {
        "steps": [
            [step.kind, step.operator, step.name, step.reads, step.scale, step.zero_point]
            for step in (trace.input, *trace.steps)
        ],
        **{name: getattr(trace, name) for name in ("output", "is_named", "channels_last", "means")},
    }


def _traced(
    child: Child,
    tracer: str,
    folder: Path,
    manifest: Manifest,
    clip: Pixels,
    limits: Limits,
    settings: Mapping[str, str],
) -> Trace:
    memory_bytes = limits.memory_bytes + TRACED_PER_CLIP_BYTE * clip.nbytes
    question = {
        "do": "trace",
        "tracer": tracer,
        "folder": str(folder),
        "manifest": manifest.model_dump(mode="json"),
        "memory_bytes": memory_bytes,
        "settings": dict(settings),
    }
    document = child.ask(question, limits.deadline_s, clip).document
    try:
        rows, most_bytes = document["steps"], memory_bytes
        steps = []
        for index, row in enumerate(rows):
            # It can't hold more of them at once than its memory.
            values = child.ask({"do": "value", "index": index}, limits.deadline_s, most_bytes=most_bytes).array
            most_bytes -= values.nbytes
            steps.append(_step(row, values))
        return Trace(
            steps[0],
            tuple(steps[1:]),
            str(document["output"]),
            bool(document["is_named"]),
            None if document["channels_last"] is None else bool(document["channels_last"]),
            str(document["means"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise child.nonsense("what is no trace") from error


def _step(row: Any, values: Any) -> Step:
    kind, operator, name, reads, scale, zero_point = row
    return Step(
        str(kind),
        str(operator),
        str(name),
        tuple(map(str, reads)),
        values,
        None if scale is None else float(scale),
        int(zero_point),
    )
