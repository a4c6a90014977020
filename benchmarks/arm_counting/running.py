"""Run a model on an emulated core, and count what one run of it executes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arm_counting.record import Counts, Record
from arm_counting.tools import Counter
from dvfl_mobile.devices.emulated import check_products
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.options import INPUT, LOG, MODEL, OPTIONS, OUTPUT, ProgramOptions
from dvfl_mobile.devices.harness.runner import put_bytes
from dvfl_mobile.devices.host_native import LocalPlace
from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.errors import DeviceError

RECORD = "instructions.txt"
LONGEST_S = 4 * 3600.0
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Counted:
    """What a model executed on a core.

    Attributes:
        runs: of each run of the network, the model's load and the process around it left out.
        whole: of the process, from its start to its end.
        logits: float32, `(1,K)`.
    """

    runs: tuple[Counts, ...]
    whole: Counts
    logits: NDArray[np.float32]


def count(
    counter: Counter, bundle: Bundle, target: str, cpu: str, model: Path, clip: NDArray[np.generic], runs: int = 1
) -> Counted:
    """Run `model` on a clip, which is as it takes it, with one thread.

    Raises:
        DeviceError: the program doesn't do what it was asked, or the emulator computes wrongly.
        ValueError: the record of instructions doesn't fit what the program says.
    """
    device = f"arm64:{cpu}"
    with LocalPlace.opened(device, counter.launcher(cpu, RECORD)) as place:
        for file in bundle.files(target):
            place.put(bundle.folder / file.name, file.name, executable=True)
        facts = DeviceFacts(device=device, kind="emulated", model=counter.qemu.name, system="Linux", abi="arm64-v8a")
        check_products(place, bundle, facts)
        options = ProgramOptions(
            mode="time",
            model=put_bytes(place, MODEL, model.read_bytes()),
            input=put_bytes(place, INPUT, clip.tobytes()),
            clips=1,
            output=OUTPUT,
            log=LOG,
            runs=runs,
            threads=1,
        )
        put_bytes(place, OPTIONS, options.text().encode("ascii"))
        lines: list[str] = []
        status = place.run(bundle.program(target), (OPTIONS,), LONGEST_S, lines.append, bundle.starter)
        said = [json.loads(line) for line in lines]
        if status != 0 or said[-1]["event"] != "end":
            raise DeviceError(f"{model} doesn't run on {device}: {said[-1]}")
        record = Record.read(place.get(RECORD, _MOST_BYTES).decode("ascii"))
        logits = np.frombuffer(place.get(OUTPUT, _MOST_BYTES), "<f4")[None]
    timed = [event for event in said if event["event"] == "run"]
    return Counted(tuple(_between(record, event) for event in timed), record.end.counts, logits)


def _between(record: Record, event: dict[str, Any]) -> Counts:
    return record.between(event["start_ns"], event["start_ns"] + event["duration_ns"])
