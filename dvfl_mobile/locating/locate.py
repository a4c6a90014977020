"""Locate the first operator at which an artifact leaves its reference, with a likely cause."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.artifacts.reference import reference_model
from dvfl_mobile.devices.gpu import Gpu, values_on
from dvfl_mobile.locating.causes import cause_of, saturated_share
from dvfl_mobile.locating.cuts import Cuts
from dvfl_mobile.locating.document import Location, OperatorDeviation, Place, ValueStats
from dvfl_mobile.locating.matching import match
from dvfl_mobile.locating.measuring import Segment, segments
from dvfl_mobile.locating.reference import ReferenceGraph, module_of, operator_of, reference_graph
from dvfl_mobile.locating.rounding import MARGIN_DB, rounding_of
from dvfl_mobile.metrics import logits_sqnr_db, non_finite
from dvfl_mobile.quantization.graph.forms import freeze
from dvfl_mobile.runners.tracing import MOVE, ROUND, trace
from dvfl_mobile.runners.values import Logits, Pixels
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import target_named
from dvfl_mobile.version import __version__


def locate(
    artifact: Artifact,
    clip: Pixels,
    name: str,
    facts: ArtifactFacts,
    reference: Path | None = None,
    logits: Logits | None = None,
    gpu: Gpu | None = None,
) -> Location:
    """Hold each operator of an artifact against the reference's, on one clip.

    Args:
        clip: `(T,3,H,W)`, 0 to 255, called `name`.
        reference: a checkpoint or quantized form to compare with, in place of the one stored with the artifact.
        logits: what the target's own runtime gave for the clip, `(K,)`; None: it wasn't run.
        gpu: where it runs in place of the CPU.

    Raises:
        ArtifactError: there is no stored reference, or the artifact can't be traced.
        UsageError: this target's operators can't be watched.
    """
    manifest = artifact.manifest
    graph, notes = _reference_of(artifact, reference)
    rounding = rounding_of(manifest.target, manifest.recipe, gpu.facts.computes_in if gpu else None)
    pixels = torch.from_numpy(clip).float()
    with torch.no_grad():
        traced = whole = trace(artifact.folder, manifest, clip)
        matched = match(whole, graph)
        if gpu is not None:
            cuts = Cuts(whole, matched, partial(values_on, gpu, artifact.folder, manifest, clip))
            cuts.take_ends()
            off = next(
                (each for each in segments(cuts.trace, graph, rounding, pixels, matched) if each.is_beyond), None
            )
            if off is not None:
                cuts.take_before(off.step.name)
            traced, notes = cuts.trace, (*notes, *cuts.notes)
        rows, place = _rows(segments(traced, graph, rounding, pixels, matched))
    final = traced.by_name[traced.output].floats
    return Location(
        tool_version=__version__,
        artifact=facts,
        clip=name,
        means=traced.means,
        runtime_db=None if logits is None else _decibels(np.asarray(logits), final.reshape(-1)),
        tolerance=f"{rounding.reason}: up to {MARGIN_DB:g} dB more error than that explains at an operator, or an own "
        f"error below {rounding.least_db:g} dB.",
        place=place,
        beyond=tuple(row.index for row in rows if row.is_beyond),
        unmatched=tuple(
            f"{step.operator} {step.name}"
            for step in whole.steps
            if step.kind not in (MOVE, ROUND) and step.name not in matched
        ),
        rows=tuple(rows),
        notes=notes,
    )


def _reference_of(artifact: Artifact, path: Path | None) -> tuple[ReferenceGraph, tuple[str, ...]]:
    manifest = artifact.manifest
    target, recipe, known = target_named(manifest.target), manifest.recipe, manifest.quantization
    model = reference_model(artifact, path)
    if model.quantization is not None or known is None:
        return reference_graph(model, target, recipe, manifest.temporal), ()
    # The weights are float, and the manifest tells how to round them; training with rounding in place changed others.
    notes = (_about_qat(),) if known.method == "qat" else ()
    return reference_graph(freeze(model.student, known) if known.scales else model, target, recipe), notes


def _about_qat() -> str:
    return (
        "It was trained on with rounding in place, so that its weights aren't the stored reference's: operators are "
        f"held against the float student. Name the quantized form with {option('reference')} to hold them against its "
        "own weights."
    )


def _rows(found: Iterable[Segment]) -> tuple[list[OperatorDeviation], Place | None]:
    rows: list[OperatorDeviation] = []
    place = None
    for segment in found:
        rows.append(_row(len(rows), segment))
        if place is None and segment.is_beyond:
            place = _place(rows[-1], segment)
    return rows, place


def _row(index: int, segment: Segment) -> OperatorDeviation:
    signal = float(segment.expected.square().mean())
    through = float(segment.reference.square().mean()), float((segment.found - segment.reference).square().mean())
    return OperatorDeviation(
        index=index,
        operator=segment.step.operator,
        name=segment.step.name,
        module=module_of(segment.node),
        own_db=_ratio(signal, segment.error),
        explained_db=_ratio(signal, segment.explained) or 0.0,
        allowed_db=_ratio(signal, segment.allowed) or 0.0,
        through_db=_ratio(*through),
        is_beyond=segment.is_beyond,
    )


def _place(row: OperatorDeviation, segment: Segment) -> Place:
    finding = cause_of(segment)
    return Place(
        error=row,
        node=operator_of(segment.node),
        reference=ValueStats.of(segment.reference.double().numpy()),
        expected=ValueStats.of(segment.expected.double().numpy()),
        found=ValueStats.of(segment.found.double().numpy(), saturated_share(segment)),
        cause=finding.cause,
        evidence=finding.evidence,
    )


def _decibels(reference: np.ndarray, candidate: np.ndarray) -> float | None:
    first, second = (np.asarray(logits, np.float64).reshape(1, -1) for logits in (reference, candidate))
    if non_finite(first).any() or non_finite(second, first).any():
        return None
    return logits_sqnr_db(first, second)


def _ratio(signal: float, error: float) -> float | None:
    """A signal's power over an error's, in dB."""
    if not np.isfinite(error) or not np.isfinite(signal):
        return None
    if error == 0:
        return float("inf")
    return float(10 * np.log10(signal / error)) if signal else float("-inf")
