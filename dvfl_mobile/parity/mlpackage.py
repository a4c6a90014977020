"""Compare a foreign Core ML package with given reference outputs: `parity X.mlpackage`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from dvfl_mobile.documents import Decibels, Document, Line, Verdict, worst_of
from dvfl_mobile.errors import ArtifactError, InputError
from dvfl_mobile.metrics import cosine, sqnr_db
from dvfl_mobile.parity.thresholds import asked_thresholds
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.coreml.isolated import IsolatedPackage, PackageFacts
from dvfl_mobile.runners.values import EXECUTOR_NOTE
from dvfl_mobile.version import __version__

Arrays = dict[str, NDArray[np.generic]]


class OutputParity(Document):
    """One output over all samples; what can't be measured, since a value isn't finite, is None.

    Attributes:
        non_finite: values of the package's that are NaN or infinite.
    """

    name: Line
    sqnr_db: Decibels | None
    max_abs: FiniteFloat | None
    cosine: FiniteFloat | None
    non_finite: int = Field(ge=0)
    verdict: Verdict


class PackageReport(Document):
    """The document that `parity X.mlpackage --json` prints.

    Attributes:
        computes_in: the numbers that the program computes in, by which the threshold goes.
        min_sqnr_db: what each output must reach, and why that much.
    """

    schema_version: Literal[1] = 1
    tool_version: Line = __version__
    verdict: Verdict
    package: Line
    reference: Line
    samples: int = Field(ge=1)
    computes_in: Literal["fp32", "fp16"]
    min_sqnr_db: FiniteFloat
    sqnr_reason: Line
    outputs: tuple[OutputParity, ...]
    notes: tuple[Line, ...] = ()


def check_package(
    package: Path,
    reference: Path,
    min_sqnr_db: float | None = None,
    because: str | None = None,
    step: Step = silent,
) -> PackageReport:
    """Run a package on given inputs, and hold what it gives against given outputs.

    Args:
        reference: an `.npz` whose arrays bear the names of the package's inputs and outputs; each holds N samples,
            stacked along a new first axis.
        min_sqnr_db, because: another threshold than that of the numbers which the program computes in, and why.

    Raises:
        InputError: the reference can't be read, or doesn't go with the package.
        ArtifactError: the package can't be run.
        UsageError: a threshold is changed without a reason.
    """
    arrays = _read(reference)
    with step("load"):
        opened = IsolatedPackage(package)
    count = _checked(arrays, opened.facts, reference, package)
    thresholds = asked_thresholds("fp16" if opened.facts.is_half else "fp32", min_sqnr_db, because)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in opened.facts.outputs}
    with step("run on the executor for Core ML", count) as advance:
        for index in range(count):
            given = opened.run({name: arrays[name][index] for name in opened.facts.inputs})
            for name, values in given.items():
                found[name].append(values.astype(np.float64))
            advance()
    opened.close()
    rows = tuple(
        _compared(name, arrays[name].astype(np.float64), np.stack(values), thresholds.min_sqnr_db)
        for name, values in found.items()
    )
    return PackageReport(
        verdict=worst_of([row.verdict for row in rows]),
        package=str(package),
        reference=str(reference),
        samples=count,
        computes_in="fp16" if opened.facts.is_half else "fp32",
        min_sqnr_db=thresholds.min_sqnr_db,
        sqnr_reason=thresholds.sqnr_reason,
        outputs=rows,
        notes=(EXECUTOR_NOTE, *thresholds.notes),
    )


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, KeyError) as error:
        raise InputError(
            f"{path} can't be read as an .npz of arrays: {error}.",
            hint="Write it with numpy.savez(path, **arrays), named as the package's inputs and outputs.",
        ) from error


def _checked(arrays: Arrays, facts: PackageFacts, reference: Path, package: Path) -> int:
    """The number of samples, once every input and output is there in the right shape."""
    wanted = {**facts.inputs, **facts.outputs}
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise InputError(
            f"{reference} has no {', '.join(missing)}; {package} takes {', '.join(facts.inputs)} and gives "
            f"{', '.join(facts.outputs)}.",
            hint="Name its arrays as the package does.",
        )
    counts = {len(arrays[name]) if arrays[name].ndim else 0 for name in wanted}
    if len(counts) != 1 or 0 in counts:
        raise InputError(
            f"The arrays of {reference} hold {sorted(counts)} samples.", hint="Give each the same, 1 or more."
        )
    for name, shape in wanted.items():
        seen = arrays[name].shape[1:]
        if len(seen) != len(shape) or any(size not in (None, side) for size, side in zip(shape, seen, strict=True)):
            raise InputError(
                f"{name} of {reference} holds samples of shape {seen}; {package} says {shape}.",
                hint="Stack samples along a new first axis.",
            )
        if not (np.issubdtype(arrays[name].dtype, np.number) or arrays[name].dtype == np.bool_):
            raise InputError(f"{name} of {reference} holds no numbers.")
    return counts.pop()


def _compared(name: str, expected: NDArray[np.float64], found: NDArray[np.float64], least_db: float) -> OutputParity:
    if expected.shape != found.shape:
        raise ArtifactError(f"{name} has the shape {found.shape[1:]}, and its reference {expected.shape[1:]}.")
    if not np.isfinite(expected).all():
        raise InputError(f"The reference's own {name} isn't finite.")
    non_finite = int(np.count_nonzero(~np.isfinite(found)))
    if non_finite:
        return OutputParity(
            name=name, sqnr_db=None, max_abs=None, cosine=None, non_finite=non_finite, verdict=Verdict.FAIL
        )
    decibels = sqnr_db(expected, found)
    return OutputParity(
        name=name,
        sqnr_db=decibels,
        max_abs=float(np.abs(expected - found).max(initial=0.0)),
        cosine=cosine(expected, found),
        non_finite=0,
        verdict=Verdict.PASS if decibels >= least_db else Verdict.FAIL,
    )
