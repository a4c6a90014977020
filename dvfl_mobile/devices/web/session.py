"""One page and its jobs, one after the other: who may attend, what is believed, and when waiting ends.

The server's threads speak for the page, the caller's for this tool; they meet here, under one lock. Nothing waits
without a deadline, and whatever goes wrong has one name on both sides.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener
from dvfl_mobile.devices.web.hello import Hello
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.wording import printable

MOST_LINES_BYTES = 4 * 2**20
RETURN_S = 60.0
"""A page that is loaded anew between two jobs, over a slow network and with 10 MB of WebAssembly, is back by then."""

_LOOK_S = 0.5
_LOADED_ANEW_S = 3.0
_HEARD_S = 1.0
_AGAIN = "Open the page again, keep it in front, and run the command again."


class RefusedError(Exception):
    """What a page asked for isn't done: an HTTP status, and why."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status, self.problem = status, problem


@dataclass(frozen=True)
class Work:
    """What a page is asked to do.

    Attributes:
        parts: what it fetches, by name: `model` and `input`.
        settings: what else it needs to know; see `run.js`.
    """

    asked: Asked
    parts: Mapping[str, bytes]
    settings: Mapping[str, object]


@dataclass(eq=False)
class Job:
    """Work under way.

    Attributes:
        id: known to nobody before, and worth nothing after.
        until: by the monotonic clock; what the page does puts it off.
        outcome: what came of it, once that is known.
    """

    id: str
    work: Work
    listener: Listener
    until: float
    idle_s: float
    attendance: Attendance | None = None
    lines: int = 0
    heard_bytes: int = 0
    output: bytes | None = None
    outcome: tuple[Heard, bytes] | DeviceError | None = None

    def message(self) -> dict[str, object]:
        """What the page hears of it."""
        parts = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in self.work.parts.items()
        }
        asked = self.work.asked
        counts = {"mode": asked.mode, "clips": asked.clips, "warmup": asked.warmup, "runs": asked.runs}
        return {"id": self.id, "opening": opening_of(self.id), **counts, **parts, **self.work.settings}


@dataclass(eq=False)
class Attendance:
    """One load of a page, for as long as its connection stands."""

    hello: Hello
    has_worked: bool = False
    events: list[dict[str, object]] = field(default_factory=list)


class Session:
    """What goes on between this tool and one page.

    Args:
        device: its name, for errors.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._changed = threading.Condition()
        self._attendance: Attendance | None = None
        self._first: Hello | None = None
        self._kept_until = 0.0
        self._job: Job | None = None
        self._over = ""

    # This tool's side.

    def hello(self, seconds: float, problem: Callable[[], str]) -> Hello:
        """What the page says of itself, once one is there.

        Args:
            problem: why none will come; empty as long as one may.

        Raises:
            DeviceError: none came in time.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while self._attendance is None:
                if why := problem():
                    raise DeviceError(f"No page came to {self._device}: {why}.")
                if time.monotonic() > until:
                    raise DeviceError(
                        f"No browser opened the page of {self._device} within {seconds:g} s.",
                        hint="Open the address that is shown, on a device that reaches this machine.",
                    )
                self._changed.wait(_LOOK_S)
            return self._attendance.hello

    def perform(self, work: Work, idle_s: float, problem: Callable[[], str]) -> tuple[Heard, bytes]:
        """Have the page do some work; what it said, and the logits, float32 little-endian, that fit what it said.

        Args:
            idle_s: how long it may say nothing.
            problem: why the page will not answer any more; empty as long as it may.

        Raises:
            DeviceError: it did something else, or left, or said nothing for too long.
        """
        name = secrets.token_urlsafe(16)
        listener = Listener(work.asked, self._device, opening_of(name))
        job = Job(name, work, listener, time.monotonic() + RETURN_S, idle_s)
        with self._changed:
            if self._over:
                raise DeviceError(f"The session with {self._device} is over: {self._over}")
            self._job = job
            self._hand_over()
            while job.outcome is None:
                if why := problem():
                    self._fail(job, f"The browser of {self._device} is gone: {why}.")
                elif time.monotonic() > job.until:
                    self._fail(job, self._late(job))
                else:
                    self._changed.wait(_LOOK_S)
            self._job = None
            if isinstance(job.outcome, DeviceError):
                raise job.outcome
            return job.outcome

    def close(self, why: str) -> None:
        """End it: the page hears why, and nothing of it is taken any more."""
        with self._changed:
            self._over = self._over or why
            if self._job is not None:
                self._fail(self._job, f"The session with {self._device} was ended.")
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._attendance is None, _HEARD_S)

    # The page's side.

    def attend(self, hello: Hello) -> Attendance:
        """Take a page that has been loaded.

        Raises:
            RefusedError: another attends, or this is another browser than the first was, or all is over.
        """
        with self._changed:
            # One that was loaded anew is here before its last connection is seen to have ended.
            until = time.monotonic() + _LOADED_ANEW_S
            while self._attendance is not None and self._attendance.hello.page == hello.page:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._over:
                raise RefusedError(410, self._over)
            if self._attendance is not None or self._is_kept_from(hello):
                raise RefusedError(
                    409,
                    "Another page is at work with this computer: in another tab, or on another device. Close it, and "
                    "load this one again.",
                )
            if self._first is not None and hello.about != self._first.about:
                raise RefusedError(
                    409, "The computer began with another browser, and measures only that one. Run the command again."
                )
            self._first = hello
            self._attendance = Attendance(hello)
            self._hand_over()
            self._changed.notify_all()
            return self._attendance

    def next_event(self, attendance: Attendance, seconds: float) -> dict[str, object] | None:
        """What a page is to hear next; None: nothing yet. After `done` and `over` there is nothing more."""
        with self._changed:
            if not attendance.events and not self._over:
                self._changed.wait(seconds)
            if attendance.events:
                return attendance.events.pop(0)
            return {"event": "over", "message": self._over} if self._over else None

    def leave(self, attendance: Attendance) -> None:
        """The connection of a page has ended; a job that it had goes with it."""
        with self._changed:
            self._let_go(attendance)
            if self._job is not None and self._job.attendance is attendance:
                self._fail(
                    self._job,
                    f"The page of {self._device} was closed or loaded anew, or its connection was lost, in the middle "
                    "of a run.",
                )
            self._changed.notify_all()

    def part(self, job_id: str, name: str) -> bytes:
        """What a job's page fetches.

        Raises:
            RefusedError: there is no such job now, or no such part.
        """
        with self._changed:
            job = self._current(job_id)
            if name not in job.work.parts:
                raise RefusedError(404, f"A job has no {name}.")
            return job.work.parts[name]

    def goes_on(self, job_id: str) -> None:
        """Something of a job came through, which puts its deadline off.

        Raises:
            RefusedError: there is no such job now.
        """
        with self._changed:
            job = self._current(job_id)
            job.until = time.monotonic() + job.idle_s

    def lose(self, job_id: str, what: str) -> None:
        """A page did not go through with a job: it `stopped reading`, say. Nothing happens where the job is over."""
        with self._changed, suppress(RefusedError):
            self._fail(self._current(job_id), f"The page of {self._device} {what}.")

    def output_bytes(self, job_id: str) -> int:
        """How many bytes the logits of a job have. Raises RefusedError where there is no such job now."""
        with self._changed:
            rows, classes = self._current(job_id).work.asked.output_shape
            return 4 * rows * classes

    def take_output(self, job_id: str, data: bytes) -> None:
        """Take the logits of a job, which its lines will tell of.

        Raises:
            RefusedError: there is no such job now, or it gave them before.
        """
        with self._changed:
            job = self._current(job_id)
            if job.output is not None:
                self._refuse(job, f"The page of {self._device} gave its logits twice.")
            job.output, job.until = data, time.monotonic() + job.idle_s

    def take_lines(self, job_id: str, first: int, data: bytes) -> None:
        """Take some lines of a job; with the last of them it is done.

        Args:
            first: the number of the first of them, from 0.

        Raises:
            RefusedError: there is no such job now, or they can't be meant.
        """
        with self._changed:
            job = self._current(job_id)
            job.heard_bytes += len(data)
            if first != job.lines or not data.endswith(b"\n") or job.heard_bytes > MOST_LINES_BYTES:
                self._refuse(job, f"The page of {self._device} left out lines, or repeated or cut them.")
            try:
                for line in data.decode("utf-8").split("\n")[:-1]:
                    job.listener.hear(line)
                    job.lines += 1
            except DeviceError as error:
                self._fail(job, error)
                raise RefusedError(422, error.problem) from error
            except UnicodeDecodeError:
                self._refuse(job, f"The page of {self._device} said what is no text.")
            job.until = time.monotonic() + job.idle_s
            if job.listener.has_ended:
                self._finish(job)

    # Both.

    def _hand_over(self) -> None:
        """Give the job to the page, where both are there and the page is fresh."""
        job, attendance = self._job, self._attendance
        if job is None or attendance is None or job.attendance is not None or attendance.has_worked:
            return
        job.attendance, attendance.has_worked = attendance, True
        job.until = time.monotonic() + job.idle_s
        attendance.events.append({"event": "job", "job": job.message()})
        self._changed.notify_all()

    def _let_go(self, attendance: Attendance | None) -> None:
        """A page is loaded anew for the next job, and the place is its own meanwhile."""
        if attendance is not None and attendance is self._attendance:
            self._attendance, self._kept_until = None, time.monotonic() + RETURN_S
            attendance.events.append({"event": "done"})

    def _is_kept_from(self, hello: Hello) -> bool:
        first = self._first
        return first is not None and hello.page != first.page and time.monotonic() < self._kept_until

    def _finish(self, job: Job) -> None:
        heard = job.listener.finish(0)
        said = heard.output
        if job.output is None or hashlib.sha256(job.output).hexdigest() != said.sha256:
            self._refuse(job, f"The logits that came from {self._device} aren't those that its page tells of.")
        assert job.output is not None
        job.outcome = heard, job.output
        self._let_go(job.attendance)
        self._changed.notify_all()

    def _current(self, job_id: str) -> Job:
        job = self._job
        if job is None or job.outcome is not None or not secrets.compare_digest(job.id.encode(), job_id.encode()):
            raise RefusedError(410, "That job is over, or never was: nothing of it is taken.")
        return job

    def _refuse(self, job: Job, problem: str) -> None:
        self._fail(job, problem)
        raise RefusedError(422, problem)

    def _fail(self, job: Job, why: str | DeviceError) -> None:
        if job.outcome is None:
            job.outcome = DeviceError(why, hint=_AGAIN) if isinstance(why, str) else why
            self._let_go(job.attendance)
        self._changed.notify_all()

    def _late(self, job: Job) -> str:
        if job.attendance is None:
            return f"The page of {self._device} didn't come back for the next job within {RETURN_S:g} s."
        last = f" after {printable(job.listener.last)!r}" if job.lines else ""
        return f"The page of {self._device} said nothing for {job.idle_s:g} s{last}."


def opening_of(job_id: str) -> str:
    """What the last line of a job hashes before the others: an answer to one job is none to another."""
    return f"dvfl-mobile-job {job_id}\n"
