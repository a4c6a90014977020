"""A conversation is believed whole or not at all: every line in its place, every count right, no byte changed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener, TensorFacts
from dvfl_mobile.errors import DeviceError
from tests.transcripts import RUNS, TIMES, events_of, lines_of

MUTATIONS = 1500


def _heard(asked: Asked, lines: Sequence[str], status: int = 0) -> Heard:
    listener = Listener(asked, "arm64:max")
    for line in lines:
        listener.hear(line)
    return listener.finish(status)


def test_a_whole_conversation_is_heard_as_it_was_said() -> None:
    heard = _heard(TIMES, lines_of(TIMES))
    assert heard.load.load_ns == 500
    assert [run.duration_ns for run in heard.of_phase("warmup")] == [60, 61]
    assert [run.start_ns for run in heard.of_phase("timed")] == [1200, 1300, 1400, 1500, 1600, 1700]
    assert [operator.node for operator in heard.operators] == [None, 27]
    assert heard.output.shape == (1, 5)
    assert heard.memory.peak_bytes == 12345
    assert _heard(RUNS, lines_of(RUNS)).output.shape == (3, 5)


def test_line_ends_of_a_terminal_change_nothing() -> None:
    assert _heard(RUNS, [f"{line}\r\n" for line in lines_of(RUNS)]) == _heard(RUNS, lines_of(RUNS))


@pytest.mark.parametrize("kept", range(len(lines_of(TIMES))))
def test_a_conversation_that_breaks_off_is_no_result_whatever_the_exit_status_says(kept: int) -> None:
    with pytest.raises(DeviceError, match="before its end"):
        _heard(TIMES, lines_of(TIMES)[:kept], status=0)


def test_what_was_heard_last_is_reported() -> None:
    with pytest.raises(DeviceError, match=r"arm64:max was ended by signal 9 before its end: .* 'run'"):
        _heard(TIMES, lines_of(TIMES)[:5], status=-9)


def test_a_failing_exit_status_is_no_result_even_after_an_end() -> None:
    with pytest.raises(DeviceError, match="status 1 after its last line"):
        _heard(TIMES, lines_of(TIMES), status=1)


@pytest.mark.parametrize("gone", range(len(lines_of(TIMES)) - 1))
def test_no_line_may_be_missing(gone: int) -> None:
    lines = lines_of(TIMES)
    with pytest.raises(DeviceError):
        _heard(TIMES, lines[:gone] + lines[gone + 1 :])


@pytest.mark.parametrize("twice", range(len(lines_of(TIMES))))
def test_no_line_may_come_twice(twice: int) -> None:
    lines = lines_of(TIMES)
    with pytest.raises(DeviceError):
        _heard(TIMES, [*lines[: twice + 1], *lines[twice:]])


Change = Callable[[list[dict[str, Any]]], object]

# By itself each leaves a stream whose hash and number of lines fit.
LIES: dict[str, tuple[Change, str]] = {
    "another protocol": (lambda events: events[0].update(protocol=2), "speaks protocol 2"),
    "another input": (lambda events: events[1]["input"].update(shape=[8, 3, 32, 32]), "a model that takes"),
    "other types": (lambda events: events[1]["input"].update(dtype="int8"), "a model that takes"),
    "other classes": (lambda events: events[1]["output"].update(shape=[1, 6]), "not 5 logits"),
    "a run too few": (lambda events: events.pop(9), "7 runs in place of 8"),
    "a run too many": (lambda events: events.insert(10, {**events[9], "start_ns": 5000}), "more than the 8 times"),
    "runs that change places": (
        lambda events: events.insert(4, events.pop(5)),
        "timed run 1 in place of timed run 0",
    ),
    "overlapping runs": (lambda events: events[4].update(start_ns=1100), "before the last had ended"),
    "miscounted operators": (lambda events: events[11].update(index=7), "counts its operators wrongly"),
    "the wrong shape": (lambda events: events[12].update(shape=[2, 5]), "wrote logits"),
    "the wrong size": (lambda events: events[12].update(bytes=19), "wrote logits"),
    "a negative time": (lambda events: events[3].update(duration_ns=-1), "no line of its protocol"),
    "a time that is no integer": (lambda events: events[3].update(duration_ns=1.0), "no line of its protocol"),
    "a time in words": (lambda events: events[3].update(duration_ns="60"), "no line of its protocol"),
    "a time without end": (lambda events: events[3].update(duration_ns=10**30), "no line of its protocol"),
    "a field that isn't known": (lambda events: events[3].update(extra=1), "no line of its protocol"),
    "a field that is missing": (lambda events: events[3].pop("start_ns"), "no line of its protocol"),
    "an event that isn't known": (lambda events: events.insert(3, {"event": "hello"}), "no line of its protocol"),
    "memory before the output": (lambda events: events.insert(12, events.pop(13)), "'memory' after 'operator'"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_stream_that_is_whole_and_wrong_is_refused(lie: str) -> None:
    change, words = LIES[lie]
    events = events_of(TIMES)
    change(events)
    with pytest.raises(DeviceError, match=words):
        _heard(TIMES, lines_of(TIMES, events))


@pytest.mark.parametrize("field", ["warmup", "runs", "clips", "lines"])
def test_an_end_that_counts_otherwise_is_refused(field: str) -> None:
    *lines, end = lines_of(TIMES)
    counts = json.loads(end)
    with pytest.raises(DeviceError, match="wrongly"):
        _heard(TIMES, [*lines, json.dumps({**counts, field: counts[field] + 1})])


def test_a_time_that_changed_on_its_way_is_noticed_by_the_end() -> None:
    lines = lines_of(TIMES)
    lines[6] = lines[6].replace('"duration_ns": 64', '"duration_ns": 46')
    with pytest.raises(DeviceError, match="changed on the way"):
        _heard(TIMES, lines)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"event": []}',
        '{"event": "run"',
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
        "[" * 60_000,
        '{"event": "memory", "peak_bytes": 1, "peak_bytes": 2}',
        '{"event": "memory", "peak_bytes": NaN}',
        '{"event": "memory", "peak_bytes": ' + "9" * 5000 + "}",
        "\ud800",
    ],
)
def test_what_isn_t_a_line_of_the_protocol_is_refused(line: str) -> None:
    before = lines_of(TIMES)[:13]
    with pytest.raises(DeviceError, match="no line of its protocol"):
        _heard(TIMES, [*before, line])


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(DeviceError, match="longer than any"):
        _heard(TIMES, ['{"event": "device", "runner": "' + "x" * 100_000 + '"}'])


def test_a_program_that_gives_up_says_why_and_its_words_disturb_no_terminal() -> None:
    line = json.dumps({"event": "error", "code": "changed", "message": "model.bin \x1b[2J isn't the file"})
    with pytest.raises(DeviceError, match=r"gave up: model.bin \\x1b\[2J isn't the file \(changed\)") as caught:
        _heard(TIMES, [lines_of(TIMES)[0], line])
    assert "run it again" in caught.value.hint


def test_a_program_that_runs_for_ever_is_stopped_by_the_count_alone() -> None:
    asked = Asked(mode="time", clips=1, classes=5, input=TensorFacts(shape=(1,), dtype="int8"), runs=1)
    listener = Listener(asked, "host:native")
    for line in lines_of(asked)[:3]:
        listener.hear(line)
    with pytest.raises(DeviceError, match="more than the 1 times"):
        listener.hear(lines_of(asked)[2])


def _mutated(lines: list[str], draw: random.Random) -> list[str]:
    """A stream with one to three of its bytes, lines or pieces changed, lost, doubled or put elsewhere."""
    text = "\n".join(lines)
    for _ in range(draw.randint(1, 3)):
        at, size = draw.randrange(len(text)), draw.choice((1, 1, 1, 2, 8, 60, 300))
        piece, to = text[at : at + size], draw.randrange(len(text))
        text = draw.choice(
            (
                text[:at] + chr(draw.randrange(10, 127)) + text[at + 1 :],
                text[:at] + str(draw.randrange(10)) + text[at + 1 :],
                text[:at] + text[at + size :],
                text[:at] + piece + text[at:],
                text[:to] + piece + text[to:],
                text[:at],
            )
        )
        if not text:
            break
    return text.split("\n")


@pytest.mark.parametrize("asked", [TIMES, RUNS], ids=["time", "run"])
def test_no_mutated_stream_gives_another_result(asked: Asked) -> None:
    draw, right, refused = random.Random(20), _heard(asked, lines_of(asked)), 0
    for _ in range(MUTATIONS):
        lines = _mutated(lines_of(asked), draw)
        try:
            heard = _heard(asked, lines)
        except DeviceError:
            refused += 1
            continue
        # Spaces between the words of the last line mean nothing.
        assert heard == right, lines
    assert refused > MUTATIONS * 0.9
