"""Atomic writes of files and directories, hashes, and one lock per directory."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dvfl_mobile.errors import OutputError
from dvfl_mobile.spelling import option, spelled

CACHE_VARIABLE = "DVFL_MOBILE_CACHE"

_PARTIAL = ".partial"

_OS_PROBLEMS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or write elsewhere with {out}."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or write elsewhere with {out}."),
    errno.EACCES: ("no permission to write there", "Write elsewhere with {out}."),
    errno.EPERM: ("no permission to write there", "Write elsewhere with {out}."),
    errno.EROFS: ("the file system is read-only", "Write elsewhere with {out}."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Write elsewhere with {out}."),
    errno.EEXIST: ("a file stands where a folder is needed", "Write elsewhere with {out}."),
    errno.EISDIR: ("a folder stands where a file is needed", "Name a file that can be written."),
    errno.ENAMETOOLONG: ("the path is too long", "Write to a shorter path with {out}."),
    errno.ENOENT: ("the path does not exist", "Make its folder first, or write elsewhere."),
    errno.EFBIG: ("the file system takes no file of that size", "Write elsewhere with {out}."),
    errno.EIO: ("the disk reported an error", "Check the disk, or write elsewhere with {out}."),
}


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a failed write to `path` into an `OutputError`."""
    try:
        yield
    except OSError as error:
        number = _number(error)
        if number not in _OS_PROBLEMS:
            raise
        problem, hint = _OS_PROBLEMS[number]
        raise OutputError(f"Can't write {path}: {problem}.", hint=spelled(hint)) from error


def _number(error: OSError) -> int | None:
    """The error's number, which `shutil.copytree` keeps only in the text of what it gathers."""
    if isinstance(error, shutil.Error):
        found = re.search(r"\[Errno (\d+)\]", str(error))
        return int(found[1]) if found else None
    return error.errno


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, it becomes `path`.

    Readers see the old file or the whole new one, never a part. The folder is made if needed.

    Raises:
        OutputError: the place can't be written, or the disk is full.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            _sync(partial)
            partial.chmod(0o666 & ~_umask())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; when the block ends well, it takes the place of `path`.

    What stood at `path` before stays untouched until then, and is removed after.

    Raises:
        OutputError: the place can't be written, or the disk is full.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        try:
            yield partial
            for file in partial.rglob("*"):
                if file.is_file():
                    _sync(file)
            partial.chmod(0o777 & ~_umask())
            _swap_in(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _swap_in(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    if not path.is_dir():
        raise OutputError(
            f"Can't write {path}: a file stands where a folder goes.", hint=f"Write elsewhere with {option('out')}."
        )
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", suffix=_PARTIAL, dir=path.parent))
    path.rename(old / path.name)
    try:
        new.rename(path)
    except OSError:
        (old / path.name).rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def directory_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the one lock of the output directory `path`; it goes with the process, even a killed one.

    Args:
        wait: for another run that holds it to let go; only for work of seconds.

    Raises:
        OutputError: another run holds it, or the place can't be written.
    """
    lock = path.parent / f".{path.name}.lock"
    with writing_to(lock):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{path} is being written by another run.",
                hint=f"Wait for it to end, or write elsewhere with {option('out')}.",
            ) from error
        remove_partials(path)
        yield
    finally:
        os.close(handle)


def remove_partials(path: Path) -> None:
    """Remove what killed runs left beside `path`. Call with the lock of `path` held."""
    for leftover in path.parent.glob(f".{path.name}.*{_PARTIAL}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(path: Path) -> list[Path]:
    """Every regular file below a folder, relative to it, sorted; links are not followed and not listed."""
    return sorted(
        Path(folder, name).relative_to(path)
        for folder, _, names in os.walk(path)
        for name in names
        if not Path(folder, name).is_symlink()
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """`$DVFL_MOBILE_CACHE`, else `dvfl-mobile` in the user's own cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvfl-mobile"
