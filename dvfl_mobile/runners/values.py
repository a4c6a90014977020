"""What every runner takes, returns and reports of itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
Facts = dict[str, str | int | bool | None]


EXECUTOR_NOTE = (
    "Run by a reference executor: it computes what the artifact says, operator by operator, and shows nothing of a "
    "device's own kernels, their roundings and their times."
)

EMULATED_NOTE = (
    "Run under an emulator: the numbers are those of the kernels that such a processor's features choose. How long it "
    "takes there means nothing."
)


SOFTWARE_GPU_NOTE = (
    "Run by LiteRT's GPU kernels on a driver that computes on the CPU: the numbers are those of these kernels in this "
    "precision. How long it takes there means nothing, and a phone's own driver may round otherwise."
)

_ARITHMETIC_NOTES = {
    "float16": ("Computed in half precision throughout: every logit is a float16 number.",),
    "float32": (
        "Computed in float32: of its half precision only the stored weights' rounding is in these figures. XNNPACK "
        "computes in half on processors that do so natively, such as Arm's from Armv8.2 on.",
    ),
}

ASKED_PRECISION_NOTE = (
    "What the GPU computed in is what it was asked for: it isn't measured there, and some drivers compute in float32 "
    "whatever is asked."
)


def runner_notes(runner: Mapping[str, str | int | bool | None]) -> tuple[str, ...]:
    """What a reader must know of a runner by what it knows of itself."""
    executed = (EXECUTOR_NOTE,) if runner.get("executor") == "reference" else ()
    about = SOFTWARE_GPU_NOTE if runner.get("delegate") in ("GPU", "WebGPU") else EMULATED_NOTE
    emulated = (about,) if runner.get("kind") == "emulated" else ()
    arithmetic = _ARITHMETIC_NOTES.get(str(runner.get("arithmetic")), ())
    asked = (ASKED_PRECISION_NOTE,) if runner.get("asked_precision") else ()
    return executed + emulated + arithmetic + asked


def runner_in_words(runner: Mapping[str, str | int | bool | None]) -> str:
    """`LiteRT 2.3.0 (device host, threads 2)`, or `none` where nothing ran."""
    known = {key: str(value) for key, value in runner.items() if value is not None}
    runtime = " ".join(known.pop(key) for key in ("runtime", "version") if key in known)
    details = ", ".join(f"{key} {value}" for key, value in known.items())
    return f"{runtime} ({details})" if runtime and details else runtime or details or "none"
