"""Reports as JUnit XML: a test suite for each artifact; what could not be decided is skipped, never passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from xml.etree import ElementTree as ET

from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.judge import near_ties
from dvfl_mobile.parity.measure import ClipMetrics
from dvfl_mobile.parity.report import ParityReport, SecondOpinion
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.report import parity as tables
from dvfl_mobile.wording import decibels


def parity(report: ParityReport) -> str:
    """One suite: a case for each threshold, and one for each clip that was run."""
    artifact = report.artifact
    title = tables.parity_title(report)
    suite = open_suite(
        title,
        {
            "verdict": report.verdict.value,
            "artifact": artifact.path,
            "model": artifact.model,
            "target": artifact.target,
            "recipe": artifact.recipe,
            "weights": report.weights,
            "clips": report.clips.source,
            "dvfl-mobile": report.tool_version,
            **_facts("runner", report.runner),
            **{key: value for opinion in report.second_opinions for key, value in _opinion_properties(opinion)},
        },
        [*report.notes, *report.clips.notes],
    )
    for check in report.checks:
        add_case(suite, f"{title}.thresholds", tables.check_name(check.name), check.verdict, check.sentence)
    failing = _failing_clips(report)
    for name, row in zip(distinct(row.name for row in report.rows), report.rows, strict=True):
        verdict = Verdict.FAIL if row in failing else Verdict.PASS
        add_case(suite, f"{title}.clips", name, verdict, _clip_sentence(row, report))
    return document([suite])


def deploy(summary: DeploySummary) -> str:
    """A suite for each artifact, with one case: its parity."""
    return document(_deploy_suite(summary, row) for row in summary.rows)


def _facts(name: str, runner: Mapping[str, str | int | bool | None]) -> dict[str, str]:
    return {f"{name}.{key}": str(value) for key, value in runner.items() if value is not None}


def _opinion_properties(opinion: SecondOpinion) -> Iterator[tuple[str, str]]:
    name = f"second_opinion.{opinion.name}"
    yield from _facts(name, opinion.runner).items()
    yield f"{name}.sqnr", decibels(opinion.pytorch.sqnr_db)
    yield f"{name}.sqnr_to_first", decibels(opinion.first.sqnr_db) if opinion.first else "not measured"


def _deploy_suite(summary: DeploySummary, row: DeployRow) -> ET.Element:
    title = f"{summary.model}/{row.name}"
    suite = open_suite(
        title,
        {
            "verdict": row.verdict.value,
            "artifact": row.path,
            "size_bytes": str(row.size_bytes),
            "checkpoint": summary.checkpoint,
            "weights": summary.weights,
            "clips": summary.clips.source,
            "dvfl-mobile": summary.tool_version,
        },
        [*summary.notes, *summary.clips.notes],
    )
    case = add_case(suite, title, "parity", row.verdict, " ".join(row.reasons))
    case.set("time", f"{row.seconds:.3f}")
    return suite


def _failing_clips(report: ParityReport) -> list[ClipMetrics]:
    if report.pooled is None:
        return []
    # A flip within what the recipe allows must not turn a build red that the verdict lets pass.
    flips_count = any(check.name == "top1" and check.verdict is Verdict.FAIL for check in report.checks)
    excused = near_ties(report.rows, report.pooled, report.thresholds)
    return [row for row in report.rows if row.non_finite or (flips_count and not row.agrees and row not in excused)]


def _clip_sentence(row: ClipMetrics, report: ParityReport) -> str:
    if row.non_finite:
        return f"{row.non_finite} of the artifact's logits {'is' if row.non_finite == 1 else 'are'} not finite."
    name = report.artifact.class_name
    answers = f"reference {name(row.reference_top1)}, artifact {name(row.candidate_top1)}"
    return f"Top-1: {answers}. SQNR: {decibels(row.sqnr_db)}."


def open_suite(name: str, properties: Mapping[str, str], notes: Iterable[str]) -> ET.Element:
    """A suite without cases, with what it is about."""
    suite = ET.Element("testsuite", name=name)
    holder = ET.SubElement(suite, "properties")
    for key, value in [*properties.items(), *(("note", note) for note in notes)]:
        ET.SubElement(holder, "property", name=key, value=value)
    return suite


def add_case(
    suite: ET.Element, classname: str, name: str, verdict: Verdict, sentence: str, kind: str = "parity"
) -> ET.Element:
    """One more case in `suite`; `kind` is the check that a failure is of."""
    case = ET.SubElement(suite, "testcase", classname=classname, name=name)
    if verdict is Verdict.FAIL:
        ET.SubElement(case, "failure", message=sentence, type=kind)
    elif verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=sentence)
    elif sentence:
        ET.SubElement(case, "system-out").text = sentence
    return case


def document(suites: Iterable[ET.Element]) -> str:
    """The whole file, with its counts."""
    root = ET.Element("testsuites", name="dvfl-mobile")
    root.extend(suites)
    for element in (*root, root):
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            element.set(attribute, str(sum(1 for _ in element.iter(tag))))
        element.set("errors", "0")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def distinct(names: Iterable[str]) -> list[str]:
    """Number the names that come again, since CI servers join cases of one name."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered
