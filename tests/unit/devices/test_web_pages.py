"""A page is believed whole or not at all, and whatever it does has one named end in time. No browser is needed."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.devices.harness.protocol import Heard
from dvfl_mobile.devices.web import server as serving
from dvfl_mobile.devices.web import session as sessions
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.devices.web.session import Session, Work
from dvfl_mobile.errors import DeviceError
from tests.transcripts import events_of
from tests.web_pages import LOGITS, Answer, Page, answer_to, give, served, work

LIES = 200
IDLE_S = 5.0

Outcome = tuple[Heard, bytes] | DeviceError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_LOOK_S", 0.02)
    monkeypatch.setattr(sessions, "_LOADED_ANEW_S", 0.5)
    monkeypatch.setattr(serving, "_BEAT_S", 0.02)
    monkeypatch.setattr(serving, "_LOOK_S", 0.02)


@pytest.fixture
def there() -> Iterator[tuple[Session, Server, Page]]:
    with served() as (session, server):
        yield session, server, Page(server.address)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def perform(session: Session, idle_s: float = IDLE_S, asked: Work | None = None) -> Outcome:
    try:
        return session.perform(asked or work(), idle_s, lambda: "")
    except DeviceError as error:
        return error


def failure(outcome: Future[Outcome]) -> str:
    found = outcome.result(20)
    assert isinstance(found, DeviceError), found
    return found.problem


def test_what_a_page_says_is_heard(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    attending = page.attend()
    assert session.hello(1, lambda: "").cores == 8
    outcome = pool.submit(perform, session)
    job = attending.job()
    assert page.ask(f"job/{job['id']}/model") == (200, b"TFL3")
    assert give(page, job["id"], answer_to(job, work().asked)) == [200, 200]
    heard, data = outcome.result(5)  # type: ignore[misc]
    assert (data, len(heard.of_phase("timed"))) == (LOGITS, 4)


def test_each_job_finds_a_page_that_is_loaded_anew(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    names = set()
    for _ in range(3):
        attending = page.attend()
        outcome = pool.submit(perform, session)
        job = attending.job()
        names.add(job["id"])
        give(page, job["id"], answer_to(job, work().asked))
        assert not isinstance(outcome.result(5), DeviceError)
        with pytest.raises(EOFError):
            attending.event("job")
    assert len(names) == 3


Change = Callable[[random.Random, Answer], Answer]


def _other_logits(chance: random.Random, answer: Answer) -> Answer:
    data = bytearray(answer.output)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return replace(answer, output=bytes(data))


def _without_a_line(chance: random.Random, answer: Answer) -> Answer:
    gone = chance.randrange(len(answer.lines))
    return replace(answer, lines=answer.lines[:gone] + answer.lines[gone + 1 :])


def _with_a_line_twice(chance: random.Random, answer: Answer) -> Answer:
    twice = chance.randrange(len(answer.lines))
    return replace(answer, lines=answer.lines[: twice + 1] + answer.lines[twice:])


def _changed_bytes(chance: random.Random, answer: Answer) -> Answer:
    at = chance.randrange(len(answer.lines))
    line = bytearray(answer.lines[at])
    line[chance.randrange(len(line))] = chance.randrange(256)
    lines = (*answer.lines[:at], bytes(line), *answer.lines[at + 1 :])
    return answer if lines == answer.lines else replace(answer, lines=lines)


def _faster(chance: random.Random, answer: Answer) -> Answer:
    at = chance.choice([at for at, line in enumerate(answer.lines) if b'"run"' in line])
    event = json.loads(answer.lines[at])
    line = json.dumps({**event, "duration_ns": event["duration_ns"] // 2}).encode() + b"\n"
    return replace(answer, lines=(*answer.lines[:at], line, *answer.lines[at + 1 :]))


def _cut(chance: random.Random, answer: Answer) -> Answer:
    whole = b"".join(answer.lines)
    return replace(answer, lines=(whole[: chance.randrange(len(whole))],))


CHANGES: tuple[Change, ...] = (
    _other_logits,
    _without_a_line,
    _with_a_line_twice,
    _changed_bytes,
    _faster,
    _cut,
)


def test_no_damaged_or_lying_page_is_believed(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    earlier: tuple[str, Answer] | None = None
    accepted = []
    for seed in range(LIES):
        chance = random.Random(seed)
        attending = page.attend()
        outcome = pool.submit(perform, session, 1.0)
        job = attending.job()
        events = [event for event in events_of(work().asked, LOGITS) if event["event"] != "operator"]
        events[1]["load_ns"] = 1000 + seed
        good = answer_to(job, work().asked, events)
        replays = seed % (len(CHANGES) + 2) - len(CHANGES)
        if replays >= 0 and earlier is not None:
            # An earlier answer, which was a good one: under its own name, or under this job's.
            name, sent = (earlier[0], earlier[1]) if replays else (job["id"], earlier[1])
        else:
            name, sent = job["id"], CHANGES[seed % len(CHANGES)](chance, good)
        with suppress(OSError):
            give(page, name, sent)
        attending.leave()
        found = outcome.result(5)
        if not isinstance(found, DeviceError) and sent != good:
            accepted.append(seed)
        earlier = (job["id"], good)
    assert accepted == []


def test_a_closed_page_ends_its_job_at_once(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    attending = page.attend()
    outcome = pool.submit(perform, session, 60.0)
    job = attending.job()
    page.ask(f"job/{job['id']}/lines?from=0", answer_to(job, work().asked).lines[0])
    began = time.monotonic()
    attending.leave()
    assert "was closed or loaded anew" in failure(outcome)
    assert time.monotonic() - began < 3
    status, why = page.ask(f"job/{job['id']}/output", LOGITS)
    assert (status, b"That job is over" in why) == (410, True)


def test_a_page_that_says_nothing_is_given_up(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    attending = page.attend()
    outcome = pool.submit(perform, session, 0.3)
    attending.job()
    assert "said nothing for 0.3 s" in failure(outcome)


def test_a_page_that_does_not_come_back_is_given_up(
    there: Any, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _, page = there
    monkeypatch.setattr(sessions, "RETURN_S", 0.3)
    page.attend().leave()
    time.sleep(0.2)
    assert "didn't come back for the next job" in failure(pool.submit(perform, session))
    with pytest.raises(DeviceError, match="No browser opened the page"):
        session.hello(0.1, lambda: "")


def test_a_browser_that_ends_is_named(there: Any) -> None:
    session, _, _ = there
    with pytest.raises(DeviceError, match="gone: it ended with 1"):
        session.perform(work(), IDLE_S, lambda: "it ended with 1")
    with pytest.raises(DeviceError, match="No page came to web: it ended with 1"):
        session.hello(5, lambda: "it ended with 1")


def test_of_two_phones_one_is_turned_away(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    first = page.attend()
    second = page.attend(page="1" * 32, cores=6)
    assert second.answer.status == 409
    assert b"Another page is at work" in second.answer.read()
    outcome = pool.submit(perform, session)
    job = first.job()
    give(page, job["id"], answer_to(job, work().asked))
    assert not isinstance(outcome.result(5), DeviceError)
    # Between two jobs the place is the first one's.
    again = page.attend(page="1" * 32, cores=6)
    assert again.answer.status == 409


def test_another_browser_does_not_take_over(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, page = there
    monkeypatch.setattr(sessions, "RETURN_S", 0.0)
    page.attend().leave()
    time.sleep(0.3)
    other = page.attend(page="1" * 32, cores=6)
    assert (other.answer.status, b"began with another browser" in other.answer.read()) == (409, True)


def test_a_tab_that_was_copied_is_turned_away(there: Any) -> None:
    _, _, page = there
    first = page.attend()
    assert page.attend().answer.status == 409
    first.leave()


def test_a_page_hears_when_all_is_over(there: Any) -> None:
    session, _, page = there
    attending = page.attend()
    session.close("All is done.")
    assert attending.event("over")["message"] == "All is done."
    assert page.attend().answer.status == 410


def test_fifty_requests_at_once_are_answered_or_turned_away(there: Any, pool: ThreadPoolExecutor) -> None:
    session, _, page = there
    attending = page.attend()
    began = time.monotonic()
    statuses: list[int] = []

    def ask() -> None:
        with suppress(OSError):
            statuses.append(page.ask("nothing")[0])

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert time.monotonic() - began < 10
    assert len(statuses) == 50
    assert set(statuses) <= {404, 503}
    outcome = pool.submit(perform, session)
    job = attending.job()
    give(page, job["id"], answer_to(job, work().asked))
    assert not isinstance(outcome.result(5), DeviceError), "the page that was there goes on"


def test_no_more_connections_stand_than_may(there: Any) -> None:
    _, server, page = there
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(serving.MOST_CONNECTIONS)]
    time.sleep(0.2)
    assert page.ask("nothing")[0] == 503
    for connection in idle:
        connection.close()
    time.sleep(0.3)
    assert page.ask("nothing")[0] == 404


def test_a_slow_reader_is_cut_off(there: Any, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.3)
    monkeypatch.setattr(serving, "_BYTES_PER_S", 2**26)
    session, server, page = there
    attending = page.attend()
    large = replace(work(), parts={"model": bytes(2**25), "input": b""})
    outcome = pool.submit(perform, session, 60.0, large)
    job = attending.job()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        path = page.path(f"job/{job['id']}/model")
        slow.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        began = time.monotonic()
        while not outcome.done() and time.monotonic() - began < 8:
            slow.recv(1024)
            time.sleep(0.02)
    assert "stopped reading the model" in failure(outcome)


@pytest.mark.parametrize("said", [b"", b"GET /", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"])
def test_a_slow_writer_is_cut_off(there: Any, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.3)
    _, server, _ = there
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(said)
        with suppress(ConnectionError):
            while slow.recv(1024):
                pass
    assert time.monotonic() - began < 5


def test_closing_ends_every_connection(there: Any) -> None:
    session, server, page = there
    attending = page.attend()
    began = time.monotonic()
    session.close("over")
    server.close()
    with suppress(OSError, EOFError):
        attending.event("job")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        ("job/x/model", {}, 410),
        ("../../etc/passwd", {}, 404),
        ("..%2f..%2fetc%2fpasswd", {}, 404),
        ("", {}, 404),
    ],
)
def test_nothing_else_is_served(there: Any, name: str, headers: dict[str, str], status: int) -> None:
    _, _, page = there
    assert page.ask(name, None, headers)[0] == status


def test_without_the_secret_nothing_is_answered(tmp_path: Path) -> None:
    index = tmp_path / "index.html"
    index.write_text("here")
    with served({"index.html": index}) as (_, server):
        page = Page(server.address)
        assert page.ask("")[1] == b"here"
        assert page.ask("", None, {"Host": "elsewhere.example"})[0] == 404
        other = Page(server.address.replace(server.token, "x" * len(server.token)))
        assert other.ask("")[0] == 404
        assert Page(f"http://127.0.0.1:{server.port}/").ask("")[0] == 404


def test_a_page_may_load_and_send_nothing_elsewhere(tmp_path: Path) -> None:
    index = tmp_path / "index.html"
    index.write_text("here")
    with served({"index.html": index}) as (_, server):
        connection = Page(server.address).connection()
        connection.request("GET", Page(server.address).path(""))
        headers = connection.getresponse().headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("attend", b"{}", 422),
        ("attend", b"x" * 70_000, 413),
        ("elsewhere", b"", 404),
        ("job/x/lines?from=0", b"", 410),
        ("job/x/output", b"", 410),
    ],
)
def test_what_cannot_be_meant_is_refused(there: Any, name: str, body: bytes, status: int) -> None:
    _, _, page = there
    assert page.ask(name, body)[0] == status
