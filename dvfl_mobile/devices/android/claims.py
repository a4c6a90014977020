"""Folder locks on a device: which process holds one, and whether it is still alive. Stale folders are removed."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import cache_folder, writing_to

PREFIX = "dvfl-mobile-"
OWNER = "owner"
MOST_AGE_S = 24 * 3600
_NAME = re.compile(PREFIX + "[0-9a-f]{16}")
_HOST = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Found:
    """A folder on a device: its name, seconds since its owner last used it, and the host that its owner is on."""

    name: str
    age_s: int
    host: str


class Claim:
    """A name for a folder on a device, claimed for as long as this process lives or until `release`.

    A lock on this host stands for it: it goes with the process, even a killed one, and no process number that is used
    again can be taken for it.

    Raises:
        OutputError: this user's cache folder can't be written.
    """

    def __init__(self) -> None:
        self.host = host_id()
        self.name = PREFIX + secrets.token_hex(8)
        self._path = _lock_path(self.name)
        with writing_to(self._path):
            self._handle: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """The folder is gone, or may be removed by whoever comes next."""
        if self._handle is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def is_name(text: str) -> bool:
    """Whether a folder's name is one that a `Claim` has given."""
    return _NAME.fullmatch(text) is not None


def is_abandoned(found: Found) -> bool:
    """Whether a folder may be removed: its owner is gone from this host; or, on another, hasn't used it for a day."""
    if found.host == host_id():
        return not _is_held(_lock_path(found.name))
    return found.age_s > MOST_AGE_S


def host_id() -> str:
    """What tells this user on this machine from all others, in hex; made when it is first asked for.

    Raises:
        OutputError: this user's cache folder can't be written.
    """
    path = _folder() / "host"
    with writing_to(path):
        with suppress(FileExistsError):
            _write_once(path, secrets.token_hex(16))
        text = path.read_text(encoding="ascii", errors="replace")
    if not _HOST.fullmatch(text):
        raise OutputError(f"{path} isn't what dvfl-mobile wrote there.", hint="Remove it.")
    return text


def _write_once(path: Path, text: str) -> None:
    """Write a file that isn't there, whole: of several processes one writes it, and no other sees half of it."""
    if path.exists():
        return
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        new.write_text(text, encoding="ascii")
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        # Nobody else will: the process that made it is gone.
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(handle)


def _lock_path(name: str) -> Path:
    return _folder() / f"{name}.lock"


def _folder() -> Path:
    folder = cache_folder() / "devices"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
