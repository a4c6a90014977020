"""What is made of adb's words and of its silence, without any device."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from dvfl_mobile.devices import process
from dvfl_mobile.devices.android import device as android
from dvfl_mobile.devices.android.adb import VARIABLE, Listed, MissingAdbError, adb_program, parse_devices
from dvfl_mobile.devices.android.complaints import said_trouble, state_trouble
from dvfl_mobile.devices.android.shell import MOST_LINE_BYTES, Lines
from dvfl_mobile.devices.process import ExpiredError, TooMuchError
from dvfl_mobile.errors import DeviceError, UsageError

# As `adb devices -l` of version 34 prints it; the line of a device without permissions is written by hand from adb's
# source, and that of a phone from its documentation: neither can be had without one.
_LISTING = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
127.0.0.1:16011        device transport_id:1
0A091FDD4000AB         device usb:1-4 product:shiba model:Pixel_8 device:shiba transport_id:2
127.0.0.1:16012        unauthorized transport_id:3
127.0.0.1:16013        offline transport_id:4
0123456789ABCDEF       no permissions (missing udev rules? user is in the plugdev group); see [http://x] usb:1-2
(no serial number)     device usb:1-7 transport_id:6

"""


def test_every_line_of_a_listing_is_read() -> None:
    assert parse_devices(_LISTING) == [
        Listed("127.0.0.1:16011", "device", ""),
        Listed("0A091FDD4000AB", "device", "Pixel 8"),
        Listed("127.0.0.1:16012", "unauthorized", ""),
        Listed("127.0.0.1:16013", "offline", ""),
        Listed("0123456789ABCDEF", "no permissions", ""),
        Listed("(no serial number)", "device", ""),
    ]


@pytest.mark.parametrize(
    ("line", "serial", "state", "model"),
    [
        # What mDNS makes of a name that is taken, as adb prints it.
        (
            "adb-ABCD0123EF-x1Y2z3 (2)._adb-tls-connect._tcp device product:vantage model:motorola_edge transport_id:5",
            "adb-ABCD0123EF-x1Y2z3 (2)._adb-tls-connect._tcp",
            "device",
            "motorola edge",
        ),
        ("adb-A (2)._adb._tcp offline transport_id:5", "adb-A (2)._adb._tcp", "offline", ""),
        ("adb-A (2)._adb._tcp unauthorized", "adb-A (2)._adb._tcp", "unauthorized", ""),
        ("adb-A (2)._adb._tcp dreaming product:x", "adb-A (2)._adb._tcp", "dreaming", ""),
        ("my device (2)._adb._tcp device product:x model:Y", "my device (2)._adb._tcp", "device", "Y"),
        ("a  b   device product:an odd one model:Y device:z transport_id:1", "a  b", "device", "Y"),
        ("a b no permissions (missing udev rules?); see [http://x] usb:1-2", "a b", "no permissions", ""),
    ],
)
def test_a_serial_number_may_hold_blanks(line: str, serial: str, state: str, model: str) -> None:
    assert parse_devices(f"List of devices attached\n{line}\n") == [Listed(serial, state, model)]


@pytest.mark.parametrize("text", ["", "List of devices attached\n\n", "adb: nonsense", "\x1b[31m"])
def test_a_listing_of_nothing_lists_nothing(text: str) -> None:
    assert parse_devices(text) == []


def test_what_a_listing_says_cannot_disturb_a_terminal() -> None:
    [one] = parse_devices("List of devices attached\nA\x1b[31mB \x07state model:\x1b[0mx\n")
    assert (one.serial + one.state + one.model).isprintable()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        # Of adb 34, as it was seen.
        ("adb: error: failed to get feature set: device unauthorized.\nThis adb server's…", "doesn't trust"),
        ("adb: device offline", "is offline"),
        ("adb: device '127.0.0.1:1' not found", "is gone"),
        ("adb: error: failed to copy 'x' to 'y': remote couldn't create file: No space left on device", "is full"),
        # Of other versions, from adb's source.
        ("error: device still authorizing", "is still being asked"),
        ("error: insufficient permissions for device: missing udev rules?", "no permissions"),
        ("error: no devices/emulators found", "is gone"),
        ("error: closed", "was lost while doing it"),
        ("adb: error: failed to read copy response: EOF", "was lost while doing it"),
        ("error: protocol fault (couldn't read status): Connection reset by peer", "was lost while doing it"),
        ("error: cannot connect to daemon at tcp:5037: Connection refused", "can't be asked"),
    ],
)
def test_what_adb_says_is_named(said: str, problem: str) -> None:
    trouble = said_trouble(said, "doing it")
    assert trouble is not None
    assert problem in trouble.problem
    assert trouble.hint


@pytest.mark.parametrize("said", ["", "x: 1 file pushed, 0 skipped.", "adb: warning: something"])
def test_what_says_nothing_of_a_fault_is_none(said: str) -> None:
    assert said_trouble(said, "doing it") is None


def test_a_state_that_nobody_knows_is_shown() -> None:
    assert "'dreaming'" in state_trouble("dreaming").problem


def _fed(data: bytes, seed: int) -> tuple[list[str], int | None]:
    lines: list[str] = []
    taker = Lines("MARK", lines.append)
    chance = random.Random(seed)
    while data:
        size = chance.randint(1, len(data))
        taker.feed(data[:size])
        data = data[size:]
    return lines, taker.status()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("data", "lines", "status"),
    [
        (b"a\nb\n\nMARK 0\n", ["a", "b"], 0),
        (b"a\nb\nMARK 3\n", ["a", "b"], 3),
        (b"a\n\n\n\nMARK 137\n", ["a", "", ""], 137),
        (b"\nMARK 0\n", [], 0),
        (b"a\r\nb\r\n\r\nMARK 0\r\n", ["a", "b"], 0),
        (b"a\nb\n", ["a", "b"], None),
        (b"a\n\nMARK 0", ["a"], None),
        (b"a\n\nMARK \n", ["a", "", "MARK "], None),
        (b"MARK 0 \n", ["MARK 0 "], None),
        (b"xMARK 0\n", ["xMARK 0"], None),
        ("ü\xff\n\nMARK 0\n".encode("latin-1"), ["\ufffd\ufffd"], 0),
    ],
)
def test_lines_are_the_same_however_they_come(data: bytes, lines: list[str], status: int | None, seed: int) -> None:
    assert _fed(data, seed) == (lines, status)


def test_a_line_without_an_end_is_given_up() -> None:
    lines: list[str] = []
    taker = Lines("MARK", lines.append)
    for _ in range(3 * MOST_LINE_BYTES // 1000):
        taker.feed(b"x" * 1000)
    assert len(lines) == 2


def _run(
    script: str, seconds: float = 10, most_bytes: int = 1000, enough: bytes = b"never"
) -> tuple[bytes, int, bytes]:
    out = bytearray()
    ended = process.run(["sh", "-c", script], seconds, out.extend, most_bytes, lambda: enough in out)
    return bytes(out), ended.status, ended.errors


def test_a_program_is_heard_to_its_end() -> None:
    assert _run("echo out; echo err >&2; exit 3") == (b"out\n", 3, b"err\n")


def test_the_end_of_what_it_complains_of_is_kept() -> None:
    assert len(_run("head -c 100000 /dev/zero >&2; echo end >&2")[2]) == 16384


def test_a_deadline_ends_all_that_was_started(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ExpiredError):
        _run(f"sleep 1000 & echo $! >{tmp_path}/pid; wait", seconds=0.5)
    assert time.monotonic() - start < 3
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody buries is dead all the same.
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"


def test_a_program_that_floods_is_ended() -> None:
    with pytest.raises(TooMuchError):
        _run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")


@pytest.mark.parametrize("script", ["sleep 1000 & echo all", "echo all; sleep 1000"], ids=["behind", "itself"])
def test_what_holds_the_pipes_open_holds_up_nobody(script: str) -> None:
    start = time.monotonic()
    assert _run(script, enough=b"all")[0] == b"all\n"
    assert time.monotonic() - start < 3


def test_a_server_that_was_started_on_the_way_is_not_waited_for() -> None:
    """As adb's first call leaves one; it has a session of its own, so it isn't ended either."""
    out = bytearray()
    script = "setsid sleep 3 & echo $!; exit 0"
    start = time.monotonic()
    process.run(["sh", "-c", script], 10, out.extend, 1000)
    assert time.monotonic() - start < 2
    assert _lives(int(out))


@pytest.mark.parametrize(
    ("named", "said"), [("", "isn't on PATH"), ("/no/such/adb", "/no/such/adb, which is no program")]
)
def test_a_missing_adb_is_named_with_what_to_install(named: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(MissingAdbError, match=said) as caught:
        adb_program()
    assert "platform-tools" in caught.value.hint
    assert caught.value.exit_code == 4
    # No tool is no device: a listing of all kinds goes on.
    assert android.found() == ()


def _listing(folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "adb"
    program.write_text(f"#!/bin/sh\ncat <<'END'\nList of devices attached\n{lines}\nEND\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))


@pytest.mark.parametrize(
    ("lines", "serial", "kind", "said"),
    [
        ("", "", DeviceError, "There is no device"),
        ("", "A", DeviceError, "There is no android:A"),
        ("B device", "A", DeviceError, "There is no android:A; adb sees android:B"),
        ("A device\nB device", "", UsageError, "adb sees android:A, android:B"),
        ("A offline", "", DeviceError, "android:A is offline"),
        ("A offline\nB unauthorized", "", DeviceError, r"adb sees android:A \(offline\), android:B \(unauthorized\)"),
        ("A no permissions (missing udev rules?)", "A", DeviceError, r"android:A can't be opened by this user"),
        ("A device\nB unauthorized", "B", DeviceError, "android:B doesn't trust this computer"),
        ("A recovery", "A", DeviceError, "android:A is in recovery"),
    ],
)
def test_devices_that_cannot_be_used_are_named(
    lines: str, serial: str, kind: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _listing(tmp_path, lines, monkeypatch)
    with pytest.raises(kind, match=said):
        android.find(serial)


def test_an_adb_that_cannot_be_started_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adb").write_bytes(b"no program")
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "adb"))
    with pytest.raises(MissingAdbError, match="can't be started: Exec format error"):
        android.find("A")


_GETPROP = """#!/bin/sh
case $1 in
    ro.product.model) echo "$MODEL" ;;
    ro.kernel.qemu) echo "$EMULATED" ;;
    ro.serialno) echo "$NUMBER" ;;
esac
"""
_CAT = """#!/bin/sh
case $1 in
    */boot_id) echo "$BOOT" ;;
    *) exec /bin/cat "$@" ;;
esac
"""


def _pretend(folder: Path, adb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell of this machine stands in for the devices' own; what it says of itself is said by variables."""
    for name, text in (("getprop", _GETPROP), ("cat", _CAT), ("adb", f"#!/bin/sh\n{adb}")):
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv(VARIABLE, raising=False)


def test_every_device_is_found_with_what_keeps_it_from_being_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(
        tmp_path,
        """
        case $*:$2 in
            devices*) printf 'List of devices attached\\nA device\\nB device\\nC offline\\nD device model:Pixel_8\\n' ;;
            *:A) MODEL='Pixel 8' sh -c "$4" ;;
            *:B) MODEL=Emulator EMULATED=1 sh -c "$4" ;;
            *:D) echo 'only a part'; exit 0 ;;
        esac
        """,
        monkeypatch,
    )
    found = android.found()
    assert [(one.device, one.kind, one.model, one.status, bool(one.hint)) for one in found] == [
        ("android:A", "physical", "Pixel 8", "ready", False),
        ("android:B", "emulated", "Emulator", "ready", False),
        ("android:C", "physical", "unknown", "offline", True),
        ("android:D", "physical", "Pixel 8", "silent", True),
    ]
    assert "adb disconnect C" in found[2].hint


_MDNS = "adb-WXYZ98765432-a1B2c3 (2)._adb-tls-connect._tcp"
_ADDRESS = "192.0.2.7:37571"


def _two_ways(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *phones: tuple[str, str, str], offline: tuple[str, ...] = ()
) -> None:
    """An adb that lists devices of so many names, each with its own serial number and the number of its boot."""
    listing = [f"echo '{name} device model:Pixel transport_id:1'" for name, _, _ in phones]
    listing += [f"echo '{name} offline'" for name in offline]
    cases = [f"'{name}') MODEL=Pixel NUMBER={number} BOOT={boot} sh -c \"$4\" ;;" for name, number, boot in phones]
    devices = "; ".join(["devices) echo 'List of devices attached'", *listing])
    _pretend(
        folder, f"case $1 in {devices}; exit ;; esac\ncase $2 in {' '.join(cases)} *) exit 1 ;; esac\n", monkeypatch
    )


def test_one_phone_by_two_ways_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _two_ways(tmp_path, monkeypatch, (_MDNS, "WXYZ98765432", "1-2"), (_ADDRESS, "WXYZ98765432", "1-2"))
    assert [one.device for one in android.found()] == [f"android:{_MDNS}"]
    assert android.find("").facts.device == f"android:{_MDNS}", "the only one needn't be named"
    by_mdns, by_address = android.find(_MDNS), android.find(_ADDRESS)
    assert by_address.facts.device == f"android:{_ADDRESS}", "what is named is taken by the way that is named"
    assert by_mdns.identity == by_address.identity


def test_a_phone_goes_by_its_own_number_where_adb_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = (_MDNS, _ADDRESS, "WXYZ98765432")
    _two_ways(tmp_path, monkeypatch, *((way, "WXYZ98765432", "1-2") for way in ways), offline=("B",))
    assert [(one.device, one.status) for one in android.found()] == [
        ("android:WXYZ98765432", "ready"),
        ("android:B", "offline"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("AAAA", "1-2"), ("BBBB", "1-2")),
        (("0123456789ABCDEF", "1-2"), ("0123456789ABCDEF", "3-4")),
        (("", "1-2"), ("", "1-2")),
        (("unknown", "1-2"), ("unknown", "1-2")),
    ],
    ids=["numbers", "one number, two boots", "no number", "unknown"],
)
def test_two_phones_stay_two(
    one: tuple[str, str], other: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two_ways(tmp_path, monkeypatch, (_MDNS, *one), (_ADDRESS, *other))
    assert len(android.found()) == 2
    with pytest.raises(UsageError, match="Which device"):
        android.find("")


def test_commands_in_a_hint_are_fit_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _two_ways(tmp_path, monkeypatch, offline=(_MDNS,))
    [one] = android.found()
    assert f"adb disconnect '{_MDNS}'" in one.hint
    with pytest.raises(DeviceError) as caught:
        android.find(_MDNS)
    assert f"adb disconnect '{_MDNS}'" in caught.value.hint
