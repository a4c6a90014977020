"""Reports as JSON: one document with its schema_version, the same bytes for the same report."""

from __future__ import annotations

from dvfl_mobile.parity import ParityReport
from dvfl_mobile.report.summary import DeploySummary


def text(document: ParityReport | DeploySummary) -> str:
    """The document, in the order of its fields, with a newline at its end.

    JSON has no token for infinity: an SQNR of identical logits is the string `"Infinity"`; `null` is what could not
    be measured.
    """
    return document.model_dump_json(indent=2) + "\n"
