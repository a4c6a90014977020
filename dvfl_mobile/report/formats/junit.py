"""JUnit XML: a test suite for each artifact; what is inconclusive is skipped, never passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from dvfl_mobile.documents import Verdict


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
