"""Over a hundred faults at random moments: each run gives the right logits or a named error, in time."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.android.adb import Adb
from dvfl_mobile.devices.android.place import AdbPlace
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.runners.child.limits import DEADLINE_VARIABLE
from tests.device import meddling
from tests.device.adbd import Phone, System, World
from tests.device.speaking import FACTS, drawn_clips, right_logits, small_artifact, speaking_bundle

pytestmark = pytest.mark.usefixtures("own_claims")

ANSWER_S = 2.0
# A push, a shell and the run itself may each use up a deadline of their own before the device is given up.
MOST_S = 20.0
CLIPS = 3
AT_ONCE = 4
DAEMON_FAULTS, ADB_FAULTS = 60, 60
TRIES = 8


@dataclass(frozen=True)
class Outcome:
    """What came of a run with a fault in it: `right`, `wrong`, `error`, or the name of an exception that is a bug."""

    word: str
    seconds: float
    happened: bool


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact that a script can be said to run."""
    return small_artifact(tmp_path_factory.mktemp("artifact") / "out")


@pytest.fixture
def attempt(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Adb, int], str]:
    """A function that runs clips of a seed on a device, and says what came of it."""
    monkeypatch.setenv(DEADLINE_VARIABLE, "2")
    bundle = speaking_bundle(tmp_path, artifact.manifest, pause_s=0.02)
    return lambda adb, seed: _attempt(adb, artifact, bundle, seed)


def _attempt(adb: Adb, artifact: Artifact, bundle: Bundle, seed: int) -> str:
    clips = drawn_clips(artifact.manifest, CLIPS, seed)
    try:
        with AdbPlace.opened(adb) as place:
            logits = NativeRunner(place, bundle, artifact.folder, artifact.manifest, FACTS).run(clips)
    except DeviceError as error:
        return "error" if error.problem.startswith(("android:", "The ")) else f"unnamed: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "right" if np.array_equal(logits, right_logits(artifact.manifest, clips)) else "wrong"


def _timed(attempt: Callable[[], str], happened: Callable[[], bool]) -> Outcome:
    start = time.monotonic()
    word = attempt()
    return Outcome(word, time.monotonic() - start, happened())


def _check(outcomes: list[Outcome], most_right: float) -> None:
    """Hold outcomes to what is promised, and the faults to having been ones: most runs must have felt theirs."""
    words = Counter(outcome.word for outcome in outcomes)
    assert set(words) <= {"right", "error"}, words
    assert max(outcome.seconds for outcome in outcomes) < MOST_S
    assert sum(outcome.happened for outcome in outcomes) >= 0.9 * len(outcomes)
    assert words["right"] <= most_right * len(outcomes), words


DEEDS: dict[str, Callable[[Phone], None]] = {
    "killed": lambda phone: phone.kill(),
    "stopped": lambda phone: phone.stop(),
    "restarted": lambda phone: (phone.kill(), phone.start_unseen())[0],
    "stalled": lambda phone: (phone.stop(), time.sleep(0.3), phone.go_on())[0],  # type: ignore[func-returns-value]
}


def test_faults_of_the_daemon(world: World, x86_system: System, attempt: Callable[[Adb, int], str]) -> None:
    """Real ones: adbd killed, stopped, restarted or stalled at a random moment of a run."""
    clean = world.phone(x86_system)
    whole = _timed(lambda: attempt(clean.adb(ANSWER_S), 0), lambda: True)
    assert whole.word == "right"
    clean.leave()

    def one(seed: int) -> Outcome:
        """Runs are shorter at times than the one that was measured: one that ended before its fault is no trial."""
        chance = random.Random(seed)
        outcomes = (struck(seed, chance.uniform(0, whole.seconds)) for _ in range(TRIES))
        return next(outcome for outcome in outcomes if outcome.happened)

    def struck(seed: int, after_s: float) -> Outcome:
        deed = list(DEEDS)[seed % len(DEEDS)]
        phone = world.phone(x86_system)
        over = threading.Event()
        happened: list[bool] = []

        def strike() -> None:
            if not over.wait(after_s):
                happened.append(True)
                DEEDS[deed](phone)

        striker = threading.Thread(target=strike)
        striker.start()
        outcome = _timed(lambda: attempt(phone.adb(ANSWER_S), seed), lambda: bool(happened))
        over.set()
        striker.join()
        phone.leave()
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(one, range(DAEMON_FAULTS)))
    # A stalled daemon goes on, and nothing is wrong then.
    _check(outcomes, most_right=0.4)


def test_faults_between_us_and_the_daemon(
    world: World, x86_system: System, attempt: Callable[[Adb, int], str], tmp_path: Path
) -> None:
    """Injected ones: an adb that cuts, changes, doubles, claims or hangs, at each of its calls in turn."""
    phone = world.phone(x86_system)
    counting = meddling.write(tmp_path / "counting", world.adb_path, "claim", -1, 0)
    assert attempt(Adb(str(counting), phone.serial, ANSWER_S), 0) == "right"
    calls = int((tmp_path / "counting" / "count").read_text(encoding="ascii"))

    deeds = list(meddling.DEEDS)
    # All are written before any is started: a program can't be, while another thread's new process holds it open.
    adbs = [
        meddling.write(tmp_path / f"fault-{seed}", world.adb_path, deeds[seed % len(deeds)], (seed * 7) % calls, seed)
        for seed in range(ADB_FAULTS)
    ]

    def one(seed: int) -> Outcome:
        adb = Adb(str(adbs[seed]), phone.serial, ANSWER_S)
        return _timed(lambda: attempt(adb, seed), adbs[seed].with_name("done").exists)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(one, range(ADB_FAULTS)))
    # Many an answer isn't needed: that of a clean-up, or of adb's words on a push that is looked at anyway.
    _check(outcomes, most_right=0.5)
    phone.leave()
