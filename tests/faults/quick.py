"""The command line with converters and runners that take no time, for faults that lie elsewhere.

As a script, `quick.py EVENT ARGUMENT…` runs `dvfl-mobile ARGUMENT…` and has something happen on the way: `EVENT` is
a step (`load`, `reference`, `convert`, `parity`) and what happens in it, such as `convert:interrupt`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from dvfl_mobile.converters.base import Lowered
from dvfl_mobile.delegation import Delegation, Operation

SHARE = 0.75
CALLS = 1


def lower(target: Any, request: Any, path: Path) -> Lowered:
    """Write something in the model's place; three quarters of its work is delegated."""
    if target.name == "coreml":
        path.mkdir()
        path = path / "part"
    path.write_bytes(request.metadata.encode())
    operations = [Operation("linear", "stage0", True, 75), Operation("slow", "stage1.block0", False, 25)]
    if target.name == "coreml":
        return Lowered(Delegation.of("Core ML", None, [], "Core ML decides on the device."))
    return Lowered(Delegation.of("XNNPACK", CALLS, operations))


def open_runner(folder: Path, manifest: Any) -> Any:
    """A runner that gives the reference's own logits."""
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.artifacts.manifest import verify
    from dvfl_mobile.artifacts.reference import reference_of
    from dvfl_mobile.runners.pytorch import TorchRunner

    verify(manifest, folder)
    return TorchRunner(reference_of(Artifact(folder, manifest)))


def interrupt() -> None:
    """What Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


def fill_disk() -> None:
    """From here on, no file may grow past a thousand bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def wait() -> None:
    """Say so, and stay."""
    print("waiting", flush=True, file=sys.__stderr__)
    Path(os.environ["QUICK_WAITING"]).touch()
    time.sleep(120)


EVENTS: dict[str, Callable[[], None]] = {"interrupt": interrupt, "full": fill_disk, "wait": wait}
STEPS = {
    "load": "dvfl_mobile.pipeline.load.load_model",
    "reference": "dvfl_mobile.artifacts.reference.sha256_of",
    "convert": "dvfl_mobile.artifacts.make.lower",
    "parity": "dvfl_mobile.pipeline.compare.open_runner",
}


def main() -> None:
    """Run the command line of this process, with its event."""
    from dvfl_mobile.cli.main import main as run

    event, *arguments = sys.argv[1:]
    # A shell starts what it puts into the background with Ctrl-C ignored, and the tests with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mock.patch("dvfl_mobile.artifacts.make.lower", lower).start()
    mock.patch("dvfl_mobile.pipeline.compare.open_runner", open_runner).start()
    step, _, what = event.partition(":")
    if step in STEPS:
        place, name = STEPS[step].rsplit(".", 1)
        original = getattr(import_module(place), name)

        def eventful(*given: Any, **named: Any) -> Any:
            result = original(*given, **named)
            EVENTS[what]()
            return result

        mock.patch(STEPS[step], eventful).start()
    run(arguments)


if __name__ == "__main__":
    main()
