"""A model card in Hugging Face's format: builds, their sizes and worst parity, and those that earned no place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.documents import Verdict
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.report.deployed import tables
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.spelling import command
from dvfl_mobile.wording import decibels

_BUILDS = ("build", "file", "size", "runs on", "SQNR to PyTorch", "worst clip", "same top-1")
_LEFT_OUT = ("build", "why")
_MOST_CLASSES = 40


def card(summary: DeploySummary, manifests: Mapping[str, Manifest]) -> str:
    """The card as Markdown, with the fields that Hugging Face reads before it.

    Args:
        manifests: by the name of the row, such as `tflite/fp16`.
    """
    earned, left_out = _sorted(summary.rows)
    first = next(iter(manifests.values()), None)
    return _fields(summary, earned) + md.document(
        [
            f"# {md.escape(summary.model)}",
            md.escape(
                f"A Video-FocalNet for action recognition on devices, from {summary.checkpoint}, converted by "
                f"dvfl-mobile {summary.tool_version}. Each build was held against PyTorch on {summary.clips.count} "
                f"clips ({summary.clips.source})."
            ),
            "## Builds",
            md.table(_BUILDS, [_build(rows, manifests) for rows in earned]) if earned else "None.",
            "SQNR and top-1 say how near a build is to PyTorch, and nothing about accuracy.",
            *(["## Builds that did not earn a place", md.table(_LEFT_OUT, left_out)] if left_out else []),
            "## Accuracy",
            *_accuracy(summary),
            *(_input(first) if first is not None else []),
            "## Limits",
            md.bullets(
                [
                    "No build was run on a phone for this card: emulators and reference executors give numbers, and "
                    "no times.",
                    *summary.notes,
                    *summary.clips.notes,
                ]
            ),
        ]
    )


def _sorted(rows: Sequence[DeployRow]) -> tuple[list[list[DeployRow]], list[tuple[str, str]]]:
    """The rows of each build that passed wherever it ran; and each other build, with why."""
    builds: dict[str, list[DeployRow]] = {}
    for row in rows:
        builds.setdefault(row.name, []).append(row)
    earned, left_out = [], []
    for name, found in builds.items():
        ran = [row for row in found if row.verdict is not Verdict.INCONCLUSIVE]
        failed = [row for row in ran if row.verdict is Verdict.FAIL]
        if ran and not failed:
            earned.append(ran)
        else:
            why = [f"{row.place}: {' '.join(row.reasons)}" for row in failed or found]
            left_out.append((name, "; ".join(why)))
    return earned, left_out


def _build(rows: Sequence[DeployRow], manifests: Mapping[str, Manifest]) -> tuple[str, ...]:
    worst = min(rows, key=lambda row: row.sqnr_db if row.sqnr_db is not None else 0.0)
    manifest = manifests.get(worst.name)
    agreeing = min(rows, key=lambda row: (row.agreeing or 0) / (row.clips or 1))
    where = "" if worst.engine == "host" else f" on {worst.engine}"
    return (
        worst.name,
        manifest.file if manifest else "-",
        f"{worst.size_bytes / 1e6:.1f} MB",
        manifest.minimum_os if manifest else "-",
        decibels(worst.sqnr_db) + where,
        decibels(worst.worst_sqnr_db),
        f"{agreeing.agreeing} of {agreeing.clips}",
    )


def _accuracy(summary: DeploySummary) -> list[str]:
    if not summary.recorded:
        return [f"Nothing was recorded of these weights. Count it with: {command('evaluate')}"]
    return [
        md.escape(f"Counted when the weights were made, not now: {summary.recorded_on}."),
        md.table(tables.RECORDED_COLUMNS, tables.recorded_rows(summary)),
    ]


def _input(manifest: Manifest) -> list[str]:
    classes = manifest.classes
    shown = ", ".join(classes[:_MOST_CLASSES]) + (f", … {len(classes)} in all" if len(classes) > _MOST_CLASSES else "")
    frames, _, height, width = manifest.clip.shape[-4:]
    return [
        "## Input and output",
        md.escape(
            f"{frames} frames of {height} x {width} pixels, red, green and blue from 0 to 255: normalization is in the "
            f"model. It gives {len(classes)} logits."
        ),
        md.escape(f"Classes: {shown}."),
    ]


def _fields(summary: DeploySummary, earned: Sequence[Sequence[DeployRow]]) -> str:
    """The YAML that Hugging Face reads; a JSON string is one of YAML's."""
    tags = ["action-recognition", "video-focalnet", "on-device", *dict.fromkeys(rows[0].target for rows in earned)]
    lines = [
        "---",
        "pipeline_tag: video-classification",
        "library_name: dvfl-mobile",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in tags),
        f"model_name: {json.dumps(summary.model)}",
        "---",
    ]
    return "\n".join(lines) + "\n\n"
