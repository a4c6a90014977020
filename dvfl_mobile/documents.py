"""Document: the frozen, JSON-serializable base of every result, and Verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dvfl_mobile.errors import CheckFailedError, InconclusiveError, OutputError
from dvfl_mobile.files import write_text
from dvfl_mobile.wording import printable

Line = Annotated[str, BeforeValidator(printable)]
Decibels = Annotated[float, Field(ge=-math.inf)]


class Document(BaseModel):
    """What everything is that is kept as JSON, and every part of it: frozen, closed, and valid JSON."""

    # An infinite SQNR is the string "Infinity" in JSON, which has no token for it; null: the logits were not finite.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def json_text(document: Document) -> str:
    """The document, in the order of its fields, with a newline at its end.

    JSON has no token for infinity: an SQNR of identical logits is the string `"Infinity"`; `null` is what could not
    be measured.
    """
    return document.model_dump_json(indent=2) + "\n"


def leave(document: Document, path: Path) -> None:
    """Write the document to `path`; a place that can't be written is no reason not to give the report."""
    with suppress(OutputError):
        write_text(path, json_text(document))


class Verdict(StrEnum):
    """What a comparison ended with."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> int:
        """0, 5 or 7."""
        codes = {Verdict.FAIL: CheckFailedError.exit_code, Verdict.INCONCLUSIVE: InconclusiveError.exit_code}
        return codes.get(self, 0)


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if any failed, else inconclusive if any is (or there are none at all), else pass."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    if Verdict.INCONCLUSIVE in verdicts or not verdicts:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS
