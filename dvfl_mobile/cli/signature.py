"""Commands whose options are the fields of a frozen dataclass: declared once, and typed on the way through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

_Options = TypeVar("_Options")


def takes(options: type[_Options]) -> Callable[[Callable[[_Options], None]], Callable[..., None]]:
    """Let a command take one object of the dataclass `options`, and typer take its fields, in their order.

    Args:
        options: each field `Annotated` with a `typer.Option`; one without a default is required.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)  # type: ignore[arg-type]
    ]

    def decorate(command: Callable[[_Options], None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            command(options(**given))

        run.__annotations__ = {}
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
