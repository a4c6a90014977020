"""Errors across the process boundary: serialized in the child, raised again in the parent."""

from __future__ import annotations

import traceback
from typing import Any

from dvfl_mobile import errors
from dvfl_mobile.errors import ArtifactError, DvflMobileError, MissingDependencyError
from dvfl_mobile.wording import printable

_CLASSES = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, DvflMobileError)
}
_MOST_CHARACTERS, _MOST_TRACEBACK = 4000, 20_000


def to_document(error: DvflMobileError) -> dict[str, Any]:
    """An error as an object that JSON can hold; of a class that `errors` doesn't have, as its nearest base there."""
    document = {
        "class": next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _CLASSES),
        "problem": error.problem,
        "hint": error.hint,
        "traceback": "".join(traceback.format_exception(error)),
    }
    if isinstance(error, MissingDependencyError):
        document |= {"package": error.package, "extra": error.extra}
    return document


def from_document(document: Any) -> DvflMobileError:
    """The error again. Whatever an object claims, this gives an error whose words can't disturb a terminal."""
    given = document if isinstance(document, dict) else {}
    kind = _CLASSES.get(str(given.get("class")), ArtifactError)
    error = kind.__new__(kind)
    DvflMobileError.__init__(error, _text(given.get("problem")), hint=_text(given.get("hint")))
    if isinstance(error, MissingDependencyError):
        error.package, error.extra = _text(given.get("package")), _text(given.get("extra"))
    if given.get("traceback"):
        # Its end says what happened.
        error.add_note(f"In the child process:\n{_text(str(given['traceback'])[-_MOST_TRACEBACK:], _MOST_TRACEBACK)}")
    return error


def _text(value: Any, most: int = _MOST_CHARACTERS) -> str:
    text = str(value or "")[:most]
    return "\n".join(printable(line) for line in text.split("\n"))
