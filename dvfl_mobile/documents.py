"""Reports as JSON: one document with its schema_version, the same bytes for the same report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import write_text
from dvfl_mobile.parity.report import Document


def text(document: Document) -> str:
    """The document, in the order of its fields, with a newline at its end.

    JSON has no token for infinity: an SQNR of identical logits is the string `"Infinity"`; `null` is what could not
    be measured.
    """
    return document.model_dump_json(indent=2) + "\n"


def leave(document: Document, path: Path) -> None:
    """Write the document to `path`; a place that can't be written is no reason not to give the report."""
    with suppress(OutputError):
        write_text(path, text(document))
