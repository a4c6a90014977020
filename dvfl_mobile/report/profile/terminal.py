"""Render profiles on the terminal: output check, figures, findings and plots."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.profiling.document import ArtifactProfile, DeviceProfile, Finding, ProfileReport
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph
from dvfl_mobile.report.profile import figures, unicode
from dvfl_mobile.wording import printable


def terminal(report: ProfileReport) -> RenderableType:
    """One device in full; of several, a row each and what must be known of each."""
    if len(report.devices) == 1 and not report.failures:
        return _one(report, report.devices[0])
    return _several(report)


def devices(found: Sequence[FoundDevice]) -> RenderableType:
    """A line for each device, and what to do about those that aren't ready."""
    # What a device says of itself comes from outside, its serial number too.
    rows = [tuple(map(printable, (each.device, each.kind, each.model, each.status))) for each in found]
    hints = [printable(f"{each.device}: {each.hint}") for each in found if each.hint]
    return Group(grid(("device", "kind", "model", "status"), rows, folding={2}, names={0}), *paragraph(hints))


def _one(report: ProfileReport, profile: DeviceProfile) -> RenderableType:
    several = len(profile.artifacts) > 1
    columns = ("", "A", "B") if several else ("", "")
    parts: list[RenderableType] = [
        headline(profile.verdict, figures.title(profile)),
        Text(figures.device_line(profile.device)),
        Text(figures.source(report, profile)),
        *paragraph(figures.outputs(profile)),
        *paragraph(figures.conclusions(profile)),
        *_findings(profile.findings),
        Text(),
        grid(columns, figures.figure_rows(profile), folding={1, 2}),
    ]
    for letter, each in zip("AB", profile.artifacts, strict=False):
        parts += _plots(each, f" of {letter}" if several else "")
        parts += _operators(each, profile.device.device, f" of {letter}" if several else "")
    return Group(*parts)


def _several(report: ProfileReport) -> RenderableType:
    parts: list[RenderableType] = [
        grid(
            figures.FLEET_COLUMNS,
            figures.fleet_rows(report),
            folding={2, 7},
            names={0},
            right={1, 3, 4, 5, 6},
            verdict=8,
        )
    ]
    for profile in report.devices:
        parts += [Text(), Text(figures.title(profile), "bold"), Text(figures.device_line(profile.device))]
        parts += [Text(sentence) for sentence in (*figures.outputs(profile), *figures.conclusions(profile))]
        parts += [_finding(finding) for finding in profile.findings]
    return Group(*parts, *paragraph(figures.failures(report)))


def _findings(findings: Sequence[Finding]) -> list[Text]:
    return [Text(), *map(_finding, findings)] if findings else []


def _finding(finding: Finding) -> Text:
    return Text.assemble((figures.finding_name(finding), "yellow"), f": {finding.sentence} {finding.evidence}")


def _plots(profile: ArtifactProfile, of_which: str) -> list[RenderableType]:
    runs = [duration for each in profile.rounds for duration in each.duration_ns]
    rows = [(figures.time_text(start), drawn, str(count)) for start, _, count, drawn in unicode.histogram(runs)]
    return [
        Text(f"\nDistribution{of_which}: runs from", "dim"),
        grid(("", "", ""), rows, right={0}),
        Text(f"\nTime line{of_which}: {figures.time_text(min(runs))} to {figures.time_text(max(runs))}", "dim"),
        Text(unicode.time_line(runs)),
    ]


def _operators(profile: ArtifactProfile, device: str, of_which: str) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if profile.operators:
        parts += [
            Text(f"\nOperators{of_which}, not delegated first", "dim"),
            grid(figures.OPERATOR_COLUMNS, figures.operator_rows(profile), folding={0}, names={1}, right={3, 4}),
            Text(f"\nBlocks{of_which}", "dim"),
            grid(figures.BLOCK_COLUMNS, figures.block_rows(profile), names={0}, right={1, 2}),
        ]
    return parts + list(paragraph(figures.operator_remarks(profile, device)))
