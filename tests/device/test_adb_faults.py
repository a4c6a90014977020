"""What adb does when things break, with the real adb and adbd: each ends in a named error before its deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.android import device as android
from dvfl_mobile.devices.android.adb import VARIABLE, Adb
from dvfl_mobile.devices.android.place import BASE, AdbPlace
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.errors import DeviceError, UsageError
from dvfl_mobile.runners.child.limits import DEADLINE_VARIABLE
from tests.device.adbd import Phone, System, World
from tests.device.speaking import FACTS, drawn_clips, small_artifact, speaking_bundle

pytestmark = pytest.mark.usefixtures("own_claims")

ANSWER_S = 2.0
_LARGE_BYTES = 96 * 2**20


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact that a script can be said to run."""
    return small_artifact(tmp_path_factory.mktemp("artifact") / "out")


@pytest.fixture(autouse=True)
def _short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that hangs must not hold up the tests."""
    monkeypatch.setenv(DEADLINE_VARIABLE, "10")


@pytest.fixture
def place(phone: Phone) -> Iterator[AdbPlace]:
    """A place on the phone, with a short deadline."""
    with AdbPlace.opened(phone.adb(ANSWER_S)) as opened:
        yield opened


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that takes long enough to copy to be caught in the middle; what can't be compressed takes longer."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(2**20) * (_LARGE_BYTES // 2**20))
    return path


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Hold what is done to a time; an error must not come later than its deadline either."""
    start = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - start < seconds


def lost(phone: Phone) -> str:
    """What is said of a phone whose daemon went: which of these depends on when adb notices."""
    return rf"^android:{phone.serial} (was lost while|is offline|is gone)"


def in_the_middle(phone: Phone, deed: Callable[[], None]) -> threading.Thread:
    """Do something to a phone once the first bytes of a file have come there."""

    def watch() -> None:
        while not any(path.stat().st_size for path in phone.folder.glob("*/*.partial")):
            time.sleep(0.001)
        phone.stop()
        deed()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def a_program(folder: Path, text: str) -> Path:
    """A shell script."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    return path


def test_adbd_killed_in_a_push(phone: Phone, place: AdbPlace, large: Path) -> None:
    watcher = in_the_middle(phone, phone.kill)
    with (
        within(ANSWER_S + 3),
        pytest.raises(DeviceError, match=lost(phone)),
    ):
        place.put(large, "model.bin")
    watcher.join()
    # What came there is no file under its name.
    assert list(phone.folder.glob("*/model.bin")) == []
    assert [path.stat().st_size < _LARGE_BYTES for path in phone.folder.glob("*/model.bin.partial")] == [True]


def test_adb_calls_a_broken_push_pushed(phone: Phone, world: World, large: Path) -> None:
    """Why its words aren't asked; if this fails, adb has become better."""
    (phone.folder / "x").mkdir()
    watcher = in_the_middle(phone, phone.kill)
    said = world.adb("-s", phone.serial, "push", str(large), f"{BASE}/x/large.partial")
    watcher.join()
    assert "1 file pushed" in said


def test_adbd_killed_in_a_shell(phone: Phone, place: AdbPlace, tmp_path: Path) -> None:
    place.put(a_program(tmp_path, 'echo "{}"; exec sleep 1000'), "program", executable=True)
    with within(ANSWER_S + 5), pytest.raises(DeviceError, match=lost(phone)):
        place.run("program", (), 60, lambda _: phone.kill())


def test_adb_says_0_after_a_broken_shell(phone: Phone, world: World) -> None:
    """Why its exit status isn't asked; if this fails, adb has become better."""
    shell = subprocess.Popen(
        [world.adb_path, "-s", phone.serial, "shell", "echo begun; sleep 1000"], stdout=subprocess.PIPE, text=True
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == "begun\n"
    phone.kill()
    shell.communicate(timeout=20)
    assert shell.returncode == 0


def test_adbd_stopped(phone: Phone, world: World, tmp_path: Path) -> None:
    with within(2 * ANSWER_S), AdbPlace.opened(phone.adb(ANSWER_S)) as place:
        place.put(a_program(tmp_path, "echo"), "program")
        phone.stop()
        with pytest.raises(DeviceError, match=rf"^android:{phone.serial} didn't answer within 2 seconds"):
            place.get("program", 100)
        # One such wait is enough: whatever else is asked of it fails at once, cleaning up too.
        for call in (lambda: place.remove("program"), lambda: place.run("program", (), 60, print)):
            with within(0.1), pytest.raises(DeviceError, match="didn't answer within 2 seconds"):
                call()
    assert f"{phone.serial}\tdevice" in world.adb("devices")
    phone.go_on()
    with AdbPlace.opened(phone.adb()):
        assert len(list(phone.folder.iterdir())) == 1


def test_adbd_stopped_while_a_program_runs(phone: Phone, tmp_path: Path) -> None:
    with within(ANSWER_S + 6), AdbPlace.opened(phone.adb(ANSWER_S)) as place:
        place.put(a_program(tmp_path, "echo begun; exec sleep 1000"), "program", executable=True)
        with pytest.raises(DeviceError, match=rf"^android:{phone.serial} didn't answer"):
            place.run("program", (), ANSWER_S, lambda _: phone.stop())


def test_a_restarted_daemon_stays_offline_until_it_is_disconnected(world: World, x86_system: System) -> None:
    phone = _restarted(world, x86_system)
    with within(ANSWER_S), pytest.raises(DeviceError, match=rf"^android:{phone.serial} is offline") as caught:
        phone.adb(ANSWER_S).shell("true", "asking")
    # What the error says to do helps.
    assert f"adb disconnect {phone.serial}, and only then adb connect {phone.serial}" in caught.value.hint
    world.adb("disconnect", phone.serial)
    world.until(lambda: "connected to" in world.adb("connect", phone.serial), "it never came back")
    assert phone.adb(ANSWER_S).shell("echo here", "asking") == (0, "here")
    phone.leave()


def _restarted(world: World, system: System) -> Phone:
    """A phone whose daemon was killed and started again, and whom adb still calls offline."""
    for _ in range(5):
        phone = world.phone(system)
        phone.kill()
        world.until(lambda serial=phone.serial: f"{serial}\toffline" in world.adb("devices"), "adb never noticed")
        # adb looks for it again at once, and then not for seconds: the daemon must come back in between.
        time.sleep(0.5)
        phone.start_unseen()
        said = world.adb("connect", phone.serial)
        if "already connected" in said and f"{phone.serial}\toffline" in world.adb("devices"):
            return phone
        phone.leave()
    pytest.skip("this adb looks again for a daemon that was restarted")


def test_a_daemon_that_went_and_came_back(phone: Phone, world: World, place: AdbPlace, tmp_path: Path) -> None:
    place.put(a_program(tmp_path, "echo"), "program")
    phone.kill()
    world.until(lambda: f"{phone.serial}\toffline" in world.adb("devices"), "adb never noticed")
    with within(ANSWER_S), pytest.raises(DeviceError, match=rf"^android:{phone.serial} is offline"):
        place.get("program", 100)
    phone.start()
    assert place.get("program", 100) == (tmp_path / "program").read_bytes()


def test_a_full_disk(phone: Phone, large: Path) -> None:
    phone.shrink(2**20)
    with AdbPlace.opened(phone.adb(ANSWER_S)) as place:
        with within(ANSWER_S + 3), pytest.raises(DeviceError, match=rf"^android:{phone.serial} is full"):
            place.put(large, "model.bin")
        # There is room again for what is smaller.
        small = large.with_name("small")
        small.write_bytes(b"x" * 1000)
        place.put(small, "model.bin")


def test_an_unauthorized_phone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is real; what it asks is a pretended device that trusts nobody."""
    serial = world.pretend("unauthorized")
    world.wait_for(serial, "unauthorized")
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    with (
        within(ANSWER_S),
        pytest.raises(DeviceError, match=rf"^android:{serial} doesn't trust this computer") as caught,
    ):
        android.find(serial)
    assert "allow USB debugging" in caught.value.hint
    [seen] = [one for one in android.found() if one.device == f"android:{serial}"]
    assert (seen.status, seen.is_ready) == ("unauthorized", False)
    with pytest.raises(DeviceError, match="doesn't trust this computer"):
        Adb(str(world.adb_path), serial, ANSWER_S).shell("true", "asking")
    world.adb("disconnect", serial)


def test_two_phones_and_no_serial(
    world: World, phone: Phone, x86_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    assert android.find("").facts.device == f"android:{phone.serial}"
    other = world.phone(x86_system)
    with within(ANSWER_S), pytest.raises(UsageError, match="Which device") as caught:
        android.find("")
    assert all(f"android:{one.serial}" in str(caught.value) for one in (phone, other))
    other.leave()


def test_no_phone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    assert android.found() == []
    with pytest.raises(DeviceError, match="There is no device"):
        android.find("")
    with pytest.raises(DeviceError, match="There is no android:X12"):
        android.find("X12")


def test_a_phone_that_is_not_there(phone: Phone, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    with pytest.raises(DeviceError, match=f"There is no android:X12; adb sees android:{phone.serial}"):
        android.find("X12")
    with pytest.raises(DeviceError, match="is gone"):
        Adb(str(world.adb_path), "X12", ANSWER_S).shell("true", "asking")


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("printf X | dd of=$1 bs=1 seek=100 conv=notrunc", "holds other bytes of model.bin than were copied to it"),
        ("truncate -s 4096 $1", "holds 4096 of the 100000 bytes of model.bin after a copy that seemed to go well"),
        ("rm $1", "holds 0 of the 100000 bytes of model.bin"),
    ],
    ids=["changed", "cut", "gone"],
)
def test_what_came_there_is_looked_at(world: World, phone: Phone, tmp_path: Path, deed: str, said: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    meddling = tmp_path / "adb"
    meddling.write_text(
        f'#!/bin/sh\n{world.adb_path} "$@" || exit\n[ "$3" = push ] || exit 0\n'
        f"set -- {phone.folder}/*/model.bin.partial\n{deed} 2>/dev/null\n",
        encoding="utf-8",
    )
    meddling.chmod(0o755)
    with AdbPlace.opened(Adb(str(meddling), phone.serial, ANSWER_S)) as place:
        with pytest.raises(DeviceError, match=said):
            place.put(source, "model.bin")
        assert list(phone.folder.glob("*/model.bin*")) == []


def test_what_comes_back_is_looked_at(world: World, phone: Phone, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    meddling = tmp_path / "adb"
    meddling.write_text(
        f'#!/bin/sh\n[ "$3" = exec-out ] || exec {world.adb_path} "$@"\n{world.adb_path} "$@" | head -c 99999; echo\n',
        encoding="utf-8",
    )
    meddling.chmod(0o755)
    with AdbPlace.opened(Adb(str(meddling), phone.serial, ANSWER_S)) as place:
        place.put(source, "model.bin")
        with pytest.raises(DeviceError, match=r"gave other bytes of model\.bin than it holds"):
            place.get("model.bin", 100_000)


def test_a_program_that_is_killed_before_its_end_line(phone: Phone, artifact: Artifact, tmp_path: Path) -> None:
    bundle = speaking_bundle(tmp_path, artifact.manifest, pause_s=1000)
    done = threading.Event()

    def kill() -> None:
        while not list(phone.folder.glob("*/said")):
            time.sleep(0.01)
        [pid] = phone.folder.glob("*/program.pid")
        phone.adb().shell(f"kill -9 {pid.read_text(encoding='ascii')}", "killing")
        done.set()

    threading.Thread(target=kill).start()
    with AdbPlace.opened(phone.adb(ANSWER_S)) as place:
        runner = NativeRunner(place, bundle, artifact.folder, artifact.manifest, FACTS)
        with pytest.raises(DeviceError, match=f"was ended by signal {int(signal.SIGKILL)} before its end"):
            runner.run(drawn_clips(artifact.manifest, 1))
    assert done.is_set()


def test_a_program_that_ends_well_without_its_end_line(phone: Phone, artifact: Artifact, tmp_path: Path) -> None:
    bundle = speaking_bundle(tmp_path, artifact.manifest, without="end")
    with AdbPlace.opened(phone.adb(ANSWER_S)) as place:
        runner = NativeRunner(place, bundle, artifact.folder, artifact.manifest, FACTS)
        with pytest.raises(DeviceError, match=r"ended with status 0 before its end: .* 'memory'"):
            runner.run(drawn_clips(artifact.manifest, 1))


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "adb"
    hanging.write_text("#!/bin/sh\nsleep 1000 & wait\n", encoding="ascii")
    hanging.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(hanging))
    from dvfl_mobile.devices.android.adb import listed_devices

    with within(1.5), pytest.raises(DeviceError, match="adb can't list its devices: it didn't answer within 1 second"):
        listed_devices(1.0)
