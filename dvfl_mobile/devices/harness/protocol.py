"""The native program's output protocol, one JSON object a line: the events, their order, and their validation.

The programs in `android_harness/runner` say `device`, `load`, one `run` per iteration, `operator` or `trace` where that
was asked, `output`, `memory`, and last `end`, or `error` where they give up. `end` repeats the counts and the SHA-256
of every line before it, so that a stream that lost, gained or changed a byte on its way is never taken for a result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError

from dvfl_mobile.devices.values import Measurement, OperatorTime
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.spelling import spelled
from dvfl_mobile.wording import printable

VERSION = 1
MOST_LINE = 64 * 2**10
MOST_OPERATORS = 20_000

Mode = Literal["run", "time"]
Phase = Literal["clip", "warmup", "timed"]

_MOST_NS = 2**62
_MOST_SHOWN = 400
_AGAIN = "Run it again; if that doesn't help, look at the cable, the device and its free memory."

Time = Annotated[int, Field(ge=0, le=_MOST_NS)]
Text = Annotated[str, Field(max_length=4096)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=2**40)]
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=2**31)], ...], Field(max_length=8)]


class TensorFacts(Document):
    """What the loaded model takes or gives."""

    shape: Shape
    dtype: Literal["float32", "int8"]


class DeviceEvent(Document):
    """What runs, and where: the first line. `cores` are those that the system has online."""

    event: Literal["device"]
    protocol: int
    runner: Text
    runtime: Text
    version: Text
    abi: Text
    features: tuple[Text, ...] = Field(max_length=512)
    cores: int = Field(ge=1, le=4096)


class LoadEvent(Document):
    """The model could run; `load_ns` is the time from its file's name to here, without the check of its hash.

    Attributes:
        threads: those that the runtime was given.
        whole: whether the delegate took every operator, where the runtime tells.
        pieces: how many the graph fell into on it, likewise.
    """

    event: Literal["load"]
    load_ns: Time
    threads: int | None = Field(ge=1, le=4096)
    delegate: Text | None
    whole: bool | None = None
    pieces: int | None = Field(default=None, ge=1, le=MOST_OPERATORS)
    input: TensorFacts
    output: TensorFacts


class RunEvent(Document):
    """One iteration; `start_ns` is the device's monotonic clock."""

    event: Literal["run"]
    phase: Phase
    index: int = Field(ge=0)
    start_ns: Time
    duration_ns: Time


class OperatorEvent(Document):
    """One operator, the median over runs apart from those that count; `node` is its number in the graph, if known."""

    event: Literal["operator"]
    index: int = Field(ge=0, lt=MOST_OPERATORS)
    name: Text
    delegated: bool | None
    node: int | None = Field(default=None, ge=0, le=2**31)
    duration_ns: Time


class TraceEvent(Document):
    """A file with the runtime's own record of its operators: ExecuTorch's ETDump."""

    event: Literal["trace"]
    file: Text
    bytes: Size
    sha256: Sha256


class OutputEvent(Document):
    """The file with the logits, float32 little-endian: of every clip, or of the last run."""

    event: Literal["output"]
    file: Text
    bytes: Size
    sha256: Sha256
    shape: Shape
    dtype: Literal["float32"]


class MemoryEvent(Document):
    """The most that the process had resident; None where the system doesn't tell."""

    event: Literal["memory"]
    peak_bytes: Size | None


class ErrorEvent(Document):
    """The program gives up; `code` is one word for what kind of thing went wrong."""

    event: Literal["error"]
    code: str = Field(pattern="^[a-z_]{1,40}$")
    message: Text


class EndEvent(Document):
    """All went well, and this is all: the counts, and the SHA-256 of the lines before, each with its line feed."""

    event: Literal["end"]
    warmup: int
    runs: int
    clips: int
    lines: int
    lines_sha256: Sha256


_EVENTS: dict[str, type[Document]] = {
    "device": DeviceEvent,
    "load": LoadEvent,
    "run": RunEvent,
    "operator": OperatorEvent,
    "trace": TraceEvent,
    "output": OutputEvent,
    "memory": MemoryEvent,
    "error": ErrorEvent,
    "end": EndEvent,
}
_FOLLOWS: dict[str, tuple[str, ...]] = {
    "device": ("",),
    "load": ("device",),
    "run": ("load", "run"),
    "operator": ("run", "operator"),
    "trace": ("run", "operator"),
    "output": ("run", "operator", "trace"),
    "memory": ("output",),
    "end": ("memory",),
}


@dataclass(frozen=True)
class Asked:
    """What a program was asked for, and so what its lines must say.

    Attributes:
        clips: in the file with the inputs.
        classes: logits of a clip.
    """

    mode: Mode
    clips: int
    classes: int
    input: TensorFacts
    warmup: int = 0
    runs: int = 0

    @property
    def phases(self) -> list[tuple[Phase, int]]:
        """Phase and index of each `run` line, in order."""
        if self.mode == "run":
            return [("clip", index) for index in range(self.clips)]
        warmup: list[tuple[Phase, int]] = [("warmup", index) for index in range(self.warmup)]
        return [*warmup, *(("timed", index) for index in range(self.runs))]

    @property
    def output_shape(self) -> tuple[int, int]:
        """The shape of the logits in the output file."""
        return (self.clips if self.mode == "run" else 1, self.classes)


@dataclass(frozen=True)
class Heard:
    """A whole conversation, found to be what was asked for."""

    device: DeviceEvent
    load: LoadEvent
    runs: tuple[RunEvent, ...]
    operators: tuple[OperatorEvent, ...]
    trace: TraceEvent | None
    output: OutputEvent
    memory: MemoryEvent

    def of_phase(self, phase: Phase) -> tuple[RunEvent, ...]:
        """The runs of one phase."""
        return tuple(run for run in self.runs if run.phase == phase)

    def measurement(self, operators: tuple[OperatorTime, ...] = ()) -> Measurement:
        """What a program measured that was asked for `time`."""
        timed = self.of_phase("timed")
        return Measurement(
            load_ns=self.load.load_ns,
            warmup_ns=tuple(run.duration_ns for run in self.of_phase("warmup")),
            started_ns=tuple(run.start_ns for run in timed),
            duration_ns=tuple(run.duration_ns for run in timed),
            peak_memory_bytes=self.memory.peak_bytes,
            threads=self.load.threads,
            output_sha256=self.output.sha256,
            operators=operators,
        )


class Listener:
    """Takes the lines of one program as they come, and gives the whole once it has ended.

    Args:
        device: its name, for errors.
        opening: what `end` hashes before the first line: where a conversation could be another's, what tells it apart.
    """

    def __init__(self, asked: Asked, device: str, opening: str = "") -> None:
        self._asked, self._device = asked, device
        self._phases = asked.phases
        self._events: list[Any] = []
        self._runs: list[RunEvent] = []
        self._operators: list[OperatorEvent] = []
        self._last, self._lines = "", 0
        self._digest = hashlib.sha256(opening.encode("utf-8"))

    @property
    def last(self) -> str:
        """The last event that was heard; empty before the first."""
        return self._last

    @property
    def has_ended(self) -> bool:
        """Whether the line came after which there is none."""
        return self._last == "end"

    def hear(self, line: str) -> None:
        """Take the next line.

        Raises:
            DeviceError: it can't be meant here; whatever was heard before doesn't count.
        """
        text = line.rstrip("\r\n")
        event = self._understood(text)
        if isinstance(event, ErrorEvent):
            raise DeviceError(
                f"The program on {self._device} gave up: {printable(event.message[:_MOST_SHOWN])} ({event.code}).",
                hint=spelled(_HINTS.get(event.code, "")),
            )
        if self._last not in _FOLLOWS[event.event]:
            self._refuse(f"said {event.event!r} after {self._last or 'nothing'!r}", text)
        self._check(event, text)
        self._keep(event)
        self._last, self._lines = event.event, self._lines + 1
        self._digest.update(text.encode("utf-8") + b"\n")

    def finish(self, status: int) -> Heard:
        """What was heard, once the program has ended.

        Args:
            status: its exit status.

        Raises:
            DeviceError: it ended without its `end` line, or with another status than 0.
        """
        how = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
        if self._last != "end":
            heard = f"the last that was heard is {self._last!r}" if self._last else "nothing was heard"
            raise DeviceError(f"The program on {self._device} {how} before its end: {heard}.", hint=_AGAIN)
        if status != 0:
            raise DeviceError(f"The program on {self._device} {how} after its last line.", hint=_AGAIN)
        said = {event.event: event for event in self._events}
        return Heard(
            device=said["device"],
            load=said["load"],
            runs=tuple(self._runs),
            operators=tuple(self._operators),
            trace=said.get("trace"),
            output=said["output"],
            memory=said["memory"],
        )

    def _keep(self, event: Any) -> None:
        if isinstance(event, RunEvent):
            self._runs.append(event)
        elif isinstance(event, OperatorEvent):
            self._operators.append(event)
        else:
            self._events.append(event)

    def _understood(self, text: str) -> Any:
        if len(text) > MOST_LINE:
            self._refuse("printed a line that is longer than any", text)
        try:
            document = json.loads(text, object_pairs_hook=_without_doubles)
            # By the text once more: only there is a list as good as a tuple, and 1.0 or "1" no integer.
            return _EVENTS[document["event"]].model_validate_json(text, strict=True)
        except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
            self._refuse("printed what is no line of its protocol", text)

    def _check(self, event: Any, text: str) -> None:
        problem = _CHECKS[event.event](self, event)
        if problem:
            self._refuse(problem, text)

    def _device_problem(self, event: DeviceEvent) -> str:
        if event.protocol == VERSION:
            return ""
        return f"speaks protocol {event.protocol}, and not {VERSION}: build the runner again"

    def _load_problem(self, event: LoadEvent) -> str:
        wanted = self._asked.input
        if event.input != wanted:
            return f"loaded a model that takes {_shown(event.input)}, not {_shown(wanted)}"
        given = event.output
        if given != TensorFacts(shape=(1, self._asked.classes), dtype="float32"):
            return f"loaded a model that gives {_shown(given)}, not {self._asked.classes} logits"
        return ""

    def _run_problem(self, event: RunEvent) -> str:
        before = self._runs
        if len(before) >= len(self._phases):
            return f"ran more than the {len(self._phases)} times that it was asked"
        if (event.phase, event.index) != self._phases[len(before)]:
            phase, index = self._phases[len(before)]
            return f"reported {event.phase} run {event.index} in place of {phase} run {index}"
        if before and event.start_ns < before[-1].start_ns + before[-1].duration_ns:
            return "reported a run that began before the last had ended"
        return ""

    def _operator_problem(self, event: OperatorEvent) -> str:
        return self._incomplete() or ("counts its operators wrongly" if event.index != len(self._operators) else "")

    def _incomplete(self) -> str:
        seen = len(self._runs)
        return "" if seen == len(self._phases) else f"reported {seen} runs in place of {len(self._phases)}"

    def _output_problem(self, event: OutputEvent) -> str:
        shape = self._asked.output_shape
        if event.shape != shape or event.bytes != 4 * shape[0] * shape[1]:
            return f"wrote logits {event.shape} in {event.bytes} bytes, not {shape}"
        return self._incomplete()

    def _end_problem(self, event: EndEvent) -> str:
        warmup = len([phase for phase, _ in self._phases if phase == "warmup"])
        counts = (warmup, len(self._phases) - warmup, self._asked.clips, self._lines)
        if (event.warmup, event.runs, event.clips, event.lines) != counts:
            return f"counts its runs, clips or lines wrongly: they are {counts}"
        if event.lines_sha256 != self._digest.hexdigest():
            return "says that its lines were others than those that came: they were changed on the way"
        return ""

    def _refuse(self, problem: str, text: str) -> NoReturn:
        raise DeviceError(
            f"The program on {self._device} {problem}: {printable(text[:_MOST_SHOWN])}", hint=_AGAIN
        ) from None


def _shown(facts: TensorFacts) -> str:
    return f"{facts.dtype} {facts.shape}"


def _no_problem(_listener: Listener, _event: Any) -> str:
    return ""


_CHECKS: dict[str, Any] = {
    "device": Listener._device_problem,
    "load": Listener._load_problem,
    "run": Listener._run_problem,
    "operator": Listener._operator_problem,
    "trace": lambda listener, _: listener._incomplete(),
    "output": Listener._output_problem,
    "memory": _no_problem,
    "end": Listener._end_problem,
}

_HINTS = {
    "gpu": "Run it by WebAssembly: {device} web; or in a browser that has WebGPU, and takes all of it.",
    "hidden": "Keep the page in front, and the screen on, until the run has ended.",
    "changed": "The file was changed on its way there: run it again.",
    "memory": "The device is short of memory: close what runs on it.",
    "model": "The runtime there can't load this artifact: convert again, or build the runner from the same version.",
    "threads": "Ask for other {threads}.",
    "cores": "Ask for other {cores}; see which the device has with: {devices}",
    "options": "The runner and this dvfl-mobile are of different versions: build the runner again.",
}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError
    return document
