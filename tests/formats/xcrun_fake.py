"""A stand-in for Xcode's `xcrun`, as a program: it plays the samples, and an app that computes a model of its own.

**It is no devicectl.** It knows what our driver says to the real one by its documentation, so that these tests show
what the driver does with answers, good and bad, and nothing of what a Mac or a phone does.

Its folder, named by the environment, holds `documents/`, the app's folder on the phone, and `play.json`: which sample
to list, and which fault to play.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("XCRUN_FAKE", "."))
DOCUMENTS = FOLDER / "documents"
FORMATS = Path(__file__).resolve().parent


def main() -> int:
    arguments = sys.argv[1:]
    with (FOLDER / "calls.jsonl").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(arguments) + "\n")
    play = json.loads((FOLDER / "play.json").read_text(encoding="utf-8"))
    if arguments[0] == "--find":
        return 0 if arguments[1] not in play.get("missing", []) else 72
    command = " ".join(arguments[1 : 3 if arguments[1] == "list" else 4])
    fault = play.get("faults", {}).get(command)
    if fault == "hang":
        time.sleep(600)
    if fault == "silent":
        print("devicectl: something broke\nERROR: no tunnel", file=sys.stderr)
        return 1
    answer = Path(value(arguments, "--json-output"))
    if isinstance(fault, dict):
        answer.write_text(json.dumps(fault), encoding="utf-8")
        return 1
    if isinstance(fault, str) and fault.startswith("text:"):
        answer.write_text(fault.removeprefix("text:"), encoding="utf-8")
        return 0
    return COMMANDS[command](arguments, answer, play)


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def succeed(answer: Path, result: Any, version: int = 3) -> int:
    info = {"jsonVersion": version, "outcome": "success", "version": "0"}
    answer.write_text(json.dumps({"info": info, "result": result}), encoding="utf-8")
    return 0


def list_devices(_arguments: list[str], answer: Path, play: dict[str, Any]) -> int:
    shutil.copy(FORMATS / play["list"], answer)
    return 0


def info_apps(arguments: list[str], answer: Path, play: dict[str, Any]) -> int:
    bundle = value(arguments, "--bundle-id")
    return succeed(answer, {"apps": [{"bundleIdentifier": bundle}] if play.get("installed", True) else []})


def copy_to(arguments: list[str], answer: Path, _play: dict[str, Any]) -> int:
    shutil.copy(value(arguments, "--source"), on_phone(value(arguments, "--destination")))
    return succeed(answer, {})


def copy_from(arguments: list[str], answer: Path, _play: dict[str, Any]) -> int:
    source = on_phone(value(arguments, "--source"))
    if not source.exists():
        said = {"NSLocalizedDescription": {"string": "No such file or directory."}}
        error = {"code": 7000, "domain": "com.apple.dt.CoreDeviceError", "userInfo": said}
        answer.write_text(json.dumps({"error": error, "info": {"jsonVersion": 3, "outcome": "failed"}}), "utf-8")
        return 1
    shutil.copy(source, value(arguments, "--destination"))
    return succeed(answer, {})


def on_phone(path: str) -> Path:
    first, _, name = path.partition("/")
    assert first == "Documents"
    assert "/" not in name
    return DOCUMENTS / name


def launch(arguments: list[str], answer: Path, play: dict[str, Any]) -> int:
    assert "--console" in arguments
    assert "--terminate-existing" in arguments
    bundle, separator, stem = arguments[-3:]
    assert (bundle, separator) == (play.get("bundle", "org.dvfl-mobile.harness"), "--")
    app(stem, play)
    succeed(answer, {"process": {"processIdentifier": 7}})
    return int(play.get("console_status", 0))


def app(stem: str, play: dict[str, Any]) -> None:
    """What the app does, on a model that adds every so-many-th value of a clip for its logits."""
    options = json.loads((DOCUMENTS / f"{stem}.options").read_text(encoding="utf-8"))
    if options["mode"] == "remove":
        for file in DOCUMENTS.glob(f"{stem.split('.')[0]}.*"):
            file.unlink()
        return
    lines = Lines()
    lines.say(
        event="device", protocol=play.get("protocol", 1), runner="fake", runtime="Core ML", version="iOS 18.2.0",
        abi="arm64", features=[], cores=6,
    )  # fmt: skip
    work = options.get("work")
    if work is not None and not work_through(stem, options["mode"], work, lines, play):
        return
    state = {"thermal_state": "fair", "is_low_power": True, "battery_percent": 80}
    about = {"system": "iOS 18.2.0", "memory_bytes": 8 << 30, "cores": 6, "before": state, "after": state}
    if work is not None:
        about["compile_ns"] = 5_000_000
        if work["plan"]:
            about["plan"] = [
                {"kind": "const", "output": "weight", "supported": []},
                {"kind": "ios16.linear", "output": "linear", "preferred": "neuralEngine",
                 "supported": ["cpu", "neuralEngine"], "cost": 0.75},
                {"kind": "ios16.softmax", "output": "logits", "preferred": "cpu", "supported": ["cpu"], "cost": 0.25},
            ]  # fmt: skip
    (DOCUMENTS / f"{stem}.about").write_text(play.get("about", json.dumps(about)), encoding="utf-8")
    lines.end(work)
    if play.get("fault") == "lost line":
        del lines.lines[3]
    if play.get("fault") == "no end":
        del lines.lines[-1]
    (DOCUMENTS / f"{stem}.events").write_text("".join(lines.lines), encoding="utf-8")


def work_through(stem: str, mode: str, work: dict[str, Any], lines: Lines, play: dict[str, Any]) -> bool:
    for sent in [work["input"], *(entry["file"] for entry in work["model"]["files"])]:
        data = (DOCUMENTS / sent["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (sent["bytes"], sent["sha256"])
    if play.get("fault") == "gives up":
        lines.say(event="error", code="model", message="Core ML can't load the model: it said no.")
        (DOCUMENTS / f"{stem}.events").write_text("".join(lines.lines), encoding="utf-8")
        return False
    shape, classes = work["shape"], work["classes"]
    lines.say(
        event="load", load_ns=1000, threads=None, delegate=work["compute_units"],
        input={"shape": shape, "dtype": "float32"}, output={"shape": [1, classes], "dtype": "float32"},
    )  # fmt: skip
    data = (DOCUMENTS / work["input"]["name"]).read_bytes()
    values = struct.unpack(f"<{len(data) // 4}f", data)
    each = len(values) // work["clips"]
    logits = [
        sum(values[clip * each + place : (clip + 1) * each : classes])
        for clip in range(work["clips"] if mode == "run" else 1)
        for place in range(classes)
    ]
    phases = (
        [("clip", index) for index in range(work["clips"])]
        if mode == "run"
        else [("warmup", index) for index in range(work["warmup"])] + [("timed", i) for i in range(work["runs"])]
    )
    for place, (phase, index) in enumerate(phases):
        lines.say(event="run", phase=phase, index=index, start_ns=1000 * place, duration_ns=100 + place)
    output = struct.pack(f"<{len(logits)}f", *logits)
    digest = hashlib.sha256(output).hexdigest()
    if play.get("fault") == "changed output":
        output = bytes([output[0] ^ 1]) + output[1:]
    (DOCUMENTS / f"{stem}.output").write_bytes(output)
    lines.say(
        event="output", file=f"{stem}.output", bytes=len(output), sha256=digest,
        shape=[len(logits) // classes, classes], dtype="float32",
    )  # fmt: skip
    lines.say(event="memory", peak_bytes=123456789)
    lines.counts = (work["warmup"], work["clips"] if mode == "run" else work["runs"])
    return True


class Lines:
    """The lines of one start."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts = (0, 0)

    def say(self, **event: Any) -> None:
        self.lines.append(json.dumps(event) + "\n")

    def end(self, work: dict[str, Any] | None) -> None:
        digest = hashlib.sha256("".join(self.lines).encode()).hexdigest()
        warmup, runs = self.counts
        clips = work["clips"] if work else 0
        self.say(event="end", warmup=warmup, runs=runs, clips=clips, lines=len(self.lines), lines_sha256=digest)


COMMANDS = {
    "list devices": list_devices,
    "device info apps": info_apps,
    "device copy to": copy_to,
    "device copy from": copy_from,
    "device process launch": launch,
}

if __name__ == "__main__":
    sys.exit(main())
