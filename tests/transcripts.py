"""What a well-behaved program prints: whole conversations of the protocol, for tests to damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dvfl_mobile.devices.harness.protocol import VERSION, Asked, TensorFacts

INPUT = TensorFacts(shape=(8, 3, 64, 64), dtype="float32")
TIMES = Asked(mode="time", clips=1, classes=5, input=INPUT, warmup=2, runs=6)
RUNS = Asked(mode="run", clips=3, classes=5, input=INPUT)


def events_of(asked: Asked, output: bytes | None = None) -> list[dict[str, Any]]:
    """The events of a whole conversation, without its end."""
    shape = list(asked.output_shape)
    data = bytes(4 * shape[0] * shape[1]) if output is None else output
    runs = [
        {"event": "run", "phase": phase, "index": index, "start_ns": 1000 + 100 * at, "duration_ns": 60 + at}
        for at, (phase, index) in enumerate(asked.phases)
    ]
    file = {"file": "output.bin", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    about = {"protocol": VERSION, "runner": "0", "runtime": "LiteRT", "version": "2.3.0", "abi": "x86_64"}
    taken = {"shape": list(asked.input.shape), "dtype": asked.input.dtype}
    given = {"shape": [1, asked.classes], "dtype": "float32"}
    return [
        {"event": "device", **about, "features": ["avx2"], "cores": 4},
        {"event": "load", "load_ns": 500, "threads": 2, "delegate": "XNNPACK", "input": taken, "output": given},
        *runs,
        {"event": "operator", "index": 0, "name": "GELU (NC)", "delegated": True, "node": None, "duration_ns": 7},
        {"event": "operator", "index": 1, "name": "GELU", "delegated": False, "node": 27, "duration_ns": 9},
        {"event": "output", **file, "shape": shape, "dtype": "float32"},
        {"event": "memory", "peak_bytes": 12345},
    ]


def lines_of(asked: Asked, events: Sequence[dict[str, Any]] | None = None) -> list[str]:
    """The lines of events, and an end that fits them."""
    lines = [json.dumps(event) for event in (events_of(asked) if events is None else events)]
    warmup = len([phase for phase, _ in asked.phases if phase == "warmup"])
    end = {
        "event": "end",
        "warmup": warmup,
        "runs": len(asked.phases) - warmup,
        "clips": asked.clips,
        "lines": len(lines),
        "lines_sha256": hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest(),
    }
    return [*lines, json.dumps(end)]
