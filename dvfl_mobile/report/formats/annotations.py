"""CI annotations: findings as lines that a CI server shows beside the code."""

from __future__ import annotations

from collections.abc import Iterable

from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack.judging.verdict import PackReport
from dvfl_mobile.parity.report import ParityReport

_LEVELS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning", Verdict.PASS: "notice"}


def subject(report: ParityReport | PackReport) -> tuple[str, str]:
    """What a report is about, and the file that stands for it."""
    title = report.artifact.title
    if isinstance(report, PackReport):
        return f"conformance of {title}", report.results
    return f"parity of {title}", f"{report.artifact.path}/manifest.json"


def github(verdict: Verdict, title: str, reasons: Iterable[str], file: str = "") -> str:
    """A workflow command for each reason, or one that all is well; `file` is what they are about.

    The format is GitHub's: `::error file=F,title=T::text`, with what would end a field or a line escaped.
    """
    place = f"file={_field(file)}," if file else ""
    texts = list(reasons) or [f"{title}: {verdict.value}"]
    return "".join(f"::{_LEVELS[verdict]} {place}title={_field(title)}::{_text(text)}\n" for text in texts)


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _field(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
