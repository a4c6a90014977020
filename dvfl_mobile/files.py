"""Atomic writes of files and directories, small files read, hashes, and one lock per directory."""

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

from dvfl_mobile.errors import InputError, OutputError
from dvfl_mobile.spelling import has_option, option, spelled

CACHE_VARIABLE = "DVFL_MOBILE_CACHE"

_PARTIAL = ".partial"

_TEMPORARY = "TMPDIR"
_TEMPORARY_NAMES = (tempfile.gettempprefix(), "dvfl-mobile-")
_FULL = (errno.ENOSPC, errno.EDQUOT)
# `{out}` stands for whatever names another place to write to.
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
    """Turn what the operating system says of a failed write into an `OutputError`.

    It is about `path`, unless the error names another place, or the temporary folder is the fuller one: libraries write
    there what they are about.
    """
    try:
        yield
    except OSError as error:
        problem = write_problem(error, path)
        if problem is None:
            raise
        raise problem from error


def write_problem(error: OSError, path: Path | None = None) -> OutputError | None:
    """What the system says of a write, to `path` where that is known; None where the error is of something else."""
    if _is_without_temporary_folder(error):
        return OutputError(
            "There is no temporary folder that can be written.", hint=f"Free some space, or name one with {_TEMPORARY}."
        )
    number = _number(error)
    if number not in _OS_PROBLEMS:
        return None
    problem, hint = _OS_PROBLEMS[number]
    named = Path(os.fsdecode(error.filename)).absolute() if isinstance(error.filename, str | bytes) else None
    if _is_temporary(named, path, is_full=number in _FULL):
        return OutputError(
            f"Can't write to the temporary folder {tempfile.gettempdir()}: {problem}.", hint=_spelled(hint, _TEMPORARY)
        )
    place = _place(named, path)
    return OutputError(f"Can't write {place}: {problem}.", hint=_spelled(hint, _choosing(place)))


def problem_of(number: int) -> str:
    """What an error number of the system says of a write, such as `the disk is full`."""
    return _OS_PROBLEMS[number][0]


def _place(named: Path | None, path: Path | None) -> Path:
    if path is not None and (named is None or named.is_relative_to(path.parent.absolute())):
        return path
    return named or Path("the output")


def _spelled(hint: str, choice: str) -> str:
    return spelled(hint.replace("{out}", choice) if choice else hint.replace(" with {out}", ""))


def _choosing(place: Path) -> str:
    """What has another place be written to; empty where nothing does: what goes beside an artifact goes there alone."""
    if _is_cached(place):
        return CACHE_VARIABLE
    return option("out") if has_option("out") else ""


def _is_temporary(named: Path | None, path: Path | None, *, is_full: bool) -> bool:
    """Whether what couldn't be written was a temporary file: by its name, or as its folder has less room than `path`'s.

    Results may go into the temporary folder too, under names that people give.
    """
    folder = _temporary_folder()
    if folder is None:
        return False
    if named is None:
        return is_full and path is not None and _is_fuller(folder, path)
    if not named.is_relative_to(folder) or named == folder:
        return named == folder
    own = folder / named.relative_to(folder).parts[0]
    return own.name.startswith(_TEMPORARY_NAMES) and not (path and path.absolute().is_relative_to(own))


def _temporary_folder() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def _is_without_temporary_folder(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error.strerror)


def _is_fuller(one: Path, other: Path) -> bool:
    """Whether one folder's file system has less room than the one that another path is to be on."""
    there = next((place for place in (other, *other.absolute().parents) if place.is_dir()), Path("/"))
    with suppress(OSError):
        return one.stat().st_dev != there.stat().st_dev and _free_bytes(one) < _free_bytes(there)
    return False


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _is_cached(place: Path) -> bool:
    with suppress(OutputError):
        return place.is_relative_to(cache_folder())
    return False


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
            f"Can't write {path}: a file stands where a folder goes.",
            hint=_spelled("Write elsewhere with {out}.", _choosing(path)),
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
                hint=_spelled("Wait for it to end, or write elsewhere with {out}.", _choosing(path)),
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


def read_small(path: Path, most_bytes: int, too_large: str, *, hint: str) -> bytes:
    """A file that somebody wrote by hand, or gave.

    Args:
        most_bytes: none that is meant here is larger.
        too_large: what to say of one that is, after its name.

    Raises:
        InputError: it can't be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.", hint=hint) from error
    if len(data) > most_bytes:
        raise InputError(f"{path} {too_large}.", hint=hint)
    return data


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
    """`$DVFL_MOBILE_CACHE`, else `dvfl-mobile` in the user's own cache folder.

    Raises:
        OutputError: this user has none.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvfl-mobile"
    except RuntimeError as error:
        raise OutputError(
            "This user has no home folder to keep things in.", hint=f"Name a folder for them with {CACHE_VARIABLE}."
        ) from error


def config_folder() -> Path:
    """`dvfl-mobile` in the user's own folder of settings.

    Raises:
        OutputError: this user has none.
    """
    try:
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dvfl-mobile"
    except RuntimeError as error:
        raise OutputError(
            "This user has no home folder to keep settings in.", hint="Name a folder for them with XDG_CONFIG_HOME."
        ) from error
