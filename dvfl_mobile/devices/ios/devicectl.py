"""`xcrun devicectl`: its commands and answers, which are read from its JSON files, never from its text.

The files hold `info` (with `outcome` and `jsonVersion`) and either `result` or `error`, an NSError in JSON. Apple
documents the commands in `devicectl help`, and says of the JSON files alone that their format is made to be relied on.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from dvfl_mobile.devices.ios.listing import ListedDevice, listed_devices
from dvfl_mobile.devices.ios.tools import Ended, run_tool
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.spelling import spelled
from dvfl_mobile.wording import printable

KNOWN_VERSIONS = range(1, 6)
_MOST_JSON_BYTES = 64 * 2**20
_ASK_S = 60.0
_COPY_S_PER_MIB = 1.0
_MOST_ERRORS = 5
_MOST_SHOWN = 600

_WORDS = (
    "NSLocalizedDescription",
    "NSLocalizedFailureReason",
    "NSLocalizedRecoverySuggestion",
    "BSErrorCodeDescription",
)
"""What of an NSError is written for people, and the word in which iOS says that it is locked."""

_HINTS = (
    ("locked", "Unlock the phone, keep it unlocked, and run it again."),
    ("developer mode", "Turn it on, on the phone: Settings, Privacy & Security, Developer Mode."),
    ("developer disk image", "Unlock the phone and connect it by cable; Xcode then puts its developer services there."),
    ("explicitly trusted", "Trust the developer, on the phone: Settings, General, VPN & Device Management."),
    ("not found", "See which devices there are with: {devices}"),
    ("no such file", "The app didn't write it: open the app on the phone, and see what it says."),
    ("enough space", "Free some space on the phone."),
    ("tunnel", "Connect the phone by cable, unlock it, and trust this Mac on it."),
)
"""What to do, by a word of Apple's message; the first that is found."""


def list_devices() -> tuple[ListedDevice, ...]:
    """Every device that Xcode knows: connected or not, simulators among them since Xcode 27.

    Raises:
        DeviceError: devicectl failed, or its answer can't be understood.
    """
    document = _ask(["list", "devices"], [], _ASK_S, "list the devices")
    found = listed_devices(document.get("result"))
    if found is None:
        raise _nonsense("list the devices", document)
    return found


def has_app(udid: str, bundle: str) -> bool:
    """Whether an app with this bundle identifier is installed there."""
    what = f"list the apps on {udid}"
    document = _ask(["device", "info", "apps"], ["--device", udid, "--bundle-id", bundle], _ASK_S, what)
    result = document.get("result")
    apps = result.get("apps") if isinstance(result, dict) else None
    if not isinstance(apps, list):
        raise _nonsense(what, document)
    return any(isinstance(app, dict) and app.get("bundleIdentifier") == bundle for app in apps)


def copy_to(udid: str, bundle: str, source: Path, target: str) -> None:
    """Copy a file into the app's own folder; `target` is its whole path there: how folders are copied varies."""
    seconds = _ASK_S + _COPY_S_PER_MIB * source.stat().st_size / 2**20
    options = ["--device", udid, *_container(bundle), "--source", str(source), "--destination", target]
    _ask(["device", "copy", "to"], options, seconds, f"copy {source.name} to {udid}")


def copy_from(udid: str, bundle: str, source: str, target: Path, most_bytes: int) -> None:
    """Copy a file out of the app's own folder.

    Raises:
        DeviceError: it isn't there, or can't be had in time.
    """
    seconds = _ASK_S + _COPY_S_PER_MIB * most_bytes / 2**20
    options = ["--device", udid, *_container(bundle), "--source", source, "--destination", str(target)]
    what = f"copy {source} from {udid}"
    document = _ask(["device", "copy", "from"], options, seconds, what)
    if not target.is_file():
        raise _nonsense(what, document)


def launch(udid: str, bundle: str, arguments: list[str], seconds: float) -> None:
    """Start the app, ending the one that runs, and wait until it has ended.

    What it printed isn't looked at: a console may lose lines, and what counts is in the files that the app writes.

    Raises:
        LateError: it didn't end in time.
        DeviceError: it can't be started, or devicectl says that it ended badly.
    """
    options = ["--device", udid, "--console", "--terminate-existing", bundle, "--", *arguments]
    _ask(["device", "process", "launch"], options, seconds, f"run {bundle} on {udid}")


def _container(bundle: str) -> list[str]:
    return ["--domain-type", "appDataContainer", "--domain-identifier", bundle]


def _ask(command: list[str], options: list[str], seconds: float, what: str) -> dict[str, Any]:
    """The document that devicectl leaves, once it says that all went well.

    Args:
        what: it is to do, for errors: `list the devices`.
    """
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
        path = Path(folder, "answer.json")
        # Before the options of the command, whose last ones may be the app's own.
        ended = run_tool(["devicectl", *command, "--json-output", str(path), *options], seconds)
        document = _document(path, ended, what)
    outcome = _info(document).get("outcome")
    if outcome != "success":
        raise _failure(what, document, outcome, ended)
    return document


def _document(path: Path, ended: Ended, what: str) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > _MOST_JSON_BYTES:
            raise DeviceError(f"devicectl can't {what}: its answer is larger than any.")
        document = json.loads(path.read_bytes())
    except OSError:
        said = ended.complaint or "It said nothing."
        raise DeviceError(
            f"devicectl can't {what}: it left no answer, and ended with status {ended.status}. {said}",
            hint=_hint(ended.complaint),
        ) from None
    except (ValueError, RecursionError):
        raise DeviceError(
            f"devicectl can't {what}: its answer is no whole JSON document, and it ended with status {ended.status}.",
            hint="Run it again; if that doesn't help, restart the Mac and the phone.",
        ) from None
    if not isinstance(document, dict):
        raise _nonsense(what, {})
    return document


def _failure(what: str, document: dict[str, Any], outcome: Any, ended: Ended) -> DeviceError:
    if not isinstance(outcome, str):
        return _nonsense(what, document)
    said = " ".join(_messages(document.get("error"))) or ended.complaint or f"the outcome is {outcome!r}."
    return DeviceError(f"devicectl can't {what}: {printable(said)[:_MOST_SHOWN]}", hint=_hint(said))


def _messages(error: Any) -> list[str]:
    """Apple's own words: of the error, of its reason, and of the errors under it."""
    found: list[str] = []
    for _ in range(_MOST_ERRORS):
        information = error.get("userInfo") if isinstance(error, dict) else None
        if not isinstance(information, dict):
            break
        for key in _WORDS:
            text = _string(information.get(key))
            if text and text not in found:
                found.append(text)
        under = information.get("NSUnderlyingError")
        error = under.get("error") if isinstance(under, dict) else None
    return found


def _string(value: Any) -> str:
    """The text of `"…"` or `{"string": "…"}`, which NSErrors in JSON hold."""
    if isinstance(value, dict):
        value = value.get("string")
    return value if isinstance(value, str) else ""


def _hint(said: str) -> str:
    words = said.lower()
    return spelled(next((hint for word, hint in _HINTS if word in words), ""))


def _info(document: dict[str, Any]) -> dict[str, Any]:
    info = document.get("info")
    return info if isinstance(info, dict) else {}


def _nonsense(what: str, document: dict[str, Any]) -> DeviceError:
    version = _info(document).get("jsonVersion")
    known = f"{KNOWN_VERSIONS[0]} to {KNOWN_VERSIONS[-1]}"
    if isinstance(version, int) and version not in KNOWN_VERSIONS:
        return DeviceError(
            f"devicectl can't {what} so that it could be understood: it answers in JSON version {version}, and this "
            f"dvfl-mobile knows {known}.",
            hint="Update dvfl-mobile, or choose an older Xcode with xcode-select.",
        )
    return DeviceError(
        f"devicectl can't {what} so that it could be understood: its answer lacks what it should hold, in JSON version "
        f"{printable(str(version))}.",
        hint="Run it again; if that doesn't help, update Xcode and dvfl-mobile.",
    )
