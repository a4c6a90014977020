"""adb's error messages, mapped to a problem and a hint."""

from __future__ import annotations

from dataclasses import dataclass

from dvfl_mobile.wording import plural, printable

READY = "device"
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a device, as the end of a sentence that begins with its name; and the next step."""

    problem: str
    hint: str


STATES = {
    "unauthorized": Trouble(
        "doesn't trust this computer (unauthorized)",
        "Unlock it and allow USB debugging in the dialog that it shows. If it shows none: Developer options, "
        "Revoke USB debugging authorizations, then plug it in again.",
    ),
    "authorizing": Trouble("is still being asked whether it trusts this computer", "Unlock it, and answer its dialog."),
    "offline": Trouble(
        "is offline: adb has seen it, and gets no answer",
        "Plug it in again. Over a network: adb disconnect SERIAL, and only then adb connect SERIAL.",
    ),
    "connecting": Trouble("is still being connected", "Wait a moment, and try again."),
    "no permissions": Trouble(
        "can't be opened by this user (no permissions)",
        "On Linux, install your system's udev rules for Android (android-udev-rules), then plug it in again.",
    ),
    "recovery": Trouble("is in recovery", "Start Android on it."),
    "rescue": Trouble("is in rescue mode", "Start Android on it."),
    "sideload": Trouble("waits for an update to be sideloaded", "Start Android on it."),
    "bootloader": Trouble("is in its bootloader", "Start Android on it: fastboot reboot"),
}

# The first that occurs, in lower case, in what adb says decides.
_SAYINGS = (
    ("no space left", Trouble("is full: no space is left in /data/local/tmp", "Free some space on it.")),
    ("read-only file system", Trouble("can't be written: its /data is read-only", "Restart it.")),
    ("unauthorized", STATES["unauthorized"]),
    ("device still authorizing", STATES["authorizing"]),
    ("device still connecting", STATES["connecting"]),
    ("device offline", STATES["offline"]),
    ("no permissions", STATES["no permissions"]),
    ("insufficient permissions", STATES["no permissions"]),
    (
        "cannot connect to daemon",
        Trouble("can't be asked: adb's own server doesn't answer", "Restart the server: adb kill-server"),
    ),
    ("not found", Trouble("is gone: adb doesn't see it any more", "Look at the cable, then at: adb devices -l")),
    ("no devices", Trouble("is gone: adb sees no device", "Look at the cable, then at: adb devices -l")),
)
_LOST = ("closed", "connection reset", "broken pipe", "protocol fault", "couldn't read", "failed to read", "eof")


def state_trouble(state: str) -> Trouble:
    """What a state of `adb devices` other than `device` means."""
    unknown = Trouble(f"isn't ready: adb calls it {shown(state)!r}", "Look at: adb devices -l")
    return STATES.get(state, unknown)


def said_trouble(text: str, doing: str) -> Trouble | None:
    """What adb's words on stderr or stdout mean, of an attempt at `doing`, such as `pushing model.bin`; None: nothing.

    adb's exit status isn't asked: it is 0 after a shell whose device went away.
    """
    low = text.lower()
    for saying, trouble in _SAYINGS:
        if saying in low:
            return trouble
    if any(word in low for word in _LOST):
        return lost(doing)
    return None


def lost(doing: str) -> Trouble:
    """The connection went in the middle."""
    return Trouble(f"was lost while {doing}", "Look at the cable and at: adb devices -l. Then run it again.")


def silent(doing: str, seconds: float) -> Trouble:
    """Nothing came until the deadline; adb may go on to call such a device ready."""
    return Trouble(
        f"didn't answer within {plural(round(seconds), 'second')}, while {doing}",
        "adb may still call it ready. Unlock it, or plug it in again; then run it again.",
    )


def shown(text: str) -> str:
    """The last words of foreign text, on one line that can't disturb a terminal."""
    return printable(text.strip()[-_MOST_CHARACTERS:])
