"""Second opinions: other runtimes that run a target's file unchanged."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from dvfl_mobile.errors import UsageError, needs


@dataclass(frozen=True)
class Opinion:
    """Another runtime for a target's artifacts.

    Attributes:
        name: as on the command line.
        target: whose artifacts it runs.
        title: what reports call it.
        module: what runs them, imported when it is used.
        package: the distribution that it needs.
        extra: the extra of dvfl-mobile that installs it.
    """

    name: str
    target: str
    title: str
    module: str
    package: str
    extra: str


OPINIONS = (
    Opinion(
        "reference",
        "tflite",
        "LiteRT's reference kernels",
        "dvfl_mobile.runners.tflite.reference",
        "ai-edge-litert",
        "tflite",
    ),
    Opinion(
        "tensorflow",
        "tflite",
        "TensorFlow's interpreter",
        "dvfl_mobile.runners.tflite.tensorflow",
        "tensorflow",
        "tensorflow",
    ),
    Opinion(
        "executor",
        "coreml",
        "dvfl-mobile's executor for Core ML",
        "dvfl_mobile.runners.coreml.executor",
        "coremltools",
        "coreml",
    ),
)


def opinions_named(names: Sequence[str], target: str) -> tuple[Opinion, ...]:
    """The second opinions of those names on artifacts for `target`, each once.

    Raises:
        UsageError: there is none of a name, or none on such artifacts.
        MissingDependencyError: what one of them needs isn't installed.
    """
    known = {opinion.name: opinion for opinion in OPINIONS if opinion.target == target}
    chosen = []
    for name in dict.fromkeys(names):
        if name not in known:
            raise UsageError(
                f"There is no second opinion {name!r} on an artifact for {target}.",
                hint=f"Choose from: {', '.join(known)}."
                if known
                else f"There are some for: {', '.join(sorted({opinion.target for opinion in OPINIONS}))}.",
            )
        if name == "executor" and platform.system() != "Darwin":
            raise UsageError(
                f"On {platform.system()} the executor runs a Core ML artifact already: it has no second opinion.",
                hint="Ask for it on a Mac, where Core ML gives the first.",
            )
        chosen.append(known[name])
    for opinion in chosen:
        why = f"second opinion {opinion.name}"
        with needs(opinion.package, extra=opinion.extra, why=why):
            metadata.version(opinion.package)
    return tuple(chosen)
