"""`dvfl-mobile`: the table of commands, and the mapping of errors to messages and exit codes."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dvfl_mobile.cli.console import DEBUG_VARIABLE, debugging, print_error, print_text
from dvfl_mobile.cli.interrupts import raising_interrupts
from dvfl_mobile.cli.spelling import COMMAND_LINE, spelling_of
from dvfl_mobile.cli.streams import close_streams, prepare_streams, printing, reader_left
from dvfl_mobile.errors import DvflMobileError, InputError, MissingDependencyError
from dvfl_mobile.files import write_problem
from dvfl_mobile.model.lean.garbage import looked_for_seldom
from dvfl_mobile.spelling import speak, speaking
from dvfl_mobile.version import __version__

COMMANDS = {
    "data": "dvfl_mobile.cli.commands.data:app",
    "train": "dvfl_mobile.cli.commands.train:train",
    "distill": "dvfl_mobile.cli.commands.distill:distill",
    "deploy": "dvfl_mobile.cli.commands.deploy:deploy",
    "quantize": "dvfl_mobile.cli.commands.quantize:quantize",
    "convert": "dvfl_mobile.cli.commands.convert:convert",
    "parity": "dvfl_mobile.cli.commands.parity:parity",
    "check-package": "dvfl_mobile.cli.commands.check_package:check_package",
    "evaluate": "dvfl_mobile.cli.commands.evaluate:evaluate",
    "profile": "dvfl_mobile.cli.commands.profile:profile",
    "devices": "dvfl_mobile.cli.commands.devices:devices",
    "kit": "dvfl_mobile.cli.commands.kits.make:kit",
    "pack": "dvfl_mobile.cli.commands.pack:pack",
    "check-app": "dvfl_mobile.cli.commands.check_app:check_app",
    "live": "dvfl_mobile.cli.commands.streaming.live:live",
    "predict": "dvfl_mobile.cli.commands.predict:predict",
    "stream": "dvfl_mobile.cli.commands.streaming.stream:stream",
    "inspect": "dvfl_mobile.cli.commands.inspect:inspect",
    "doctor": "dvfl_mobile.cli.commands.doctor:doctor",
}

EXIT_CODES = (
    "Exit codes: 0 done, 1 a fault of ours, 2 wrong usage, 3 bad input, 4 something isn't installed, "
    "5 a check failed, 6 device, 7 inconclusive, 130 interrupted."
)

_DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_FILE_LIMITS = (errno.EMFILE, errno.ENFILE)
_PERMISSION_PROBLEMS = (errno.EACCES, errno.EPERM)
_BROKEN_PIPE = 141
_LIKE_A_FILE = re.compile(r"-[^=]*\.[A-Za-z]\w*")
# For packages that are imported outside of a converter or runner, which name their own.
_EXTRAS = {"torch": "all", "torchao": "quantize", "safetensors": "all", "av": "video", "matplotlib": "plots"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process; `arguments` default to the process's own."""
    prepare_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _debug_asked_for(given) as rest, speaking(COMMAND_LINE), looked_for_seldom():
        code = _run(rest)
    close_streams()
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    with raising_interrupts() as interrupts:
        try:
            return _invoke(arguments)
        except BaseException as error:
            _show_traceback()
            if interrupts.signal is not None:
                print_error("interrupted; nothing half-written was left.")
                return interrupts.exit_code
            return _explain(error, arguments)


def _invoke(arguments: list[str]) -> int:
    command = typer.main.get_command(_app())
    try:
        with command.make_context("dvfl-mobile", arguments) as context:
            command.invoke(context)
            code = 0
    except typer.Exit as end:
        code = end.exit_code
    with printing():
        return code


def _app() -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, epilog=EXIT_CODES)
    app.callback(invoke_without_command=True)(_root)
    for name, home in COMMANDS.items():
        module, _, what = home.partition(":")
        command = getattr(import_module(module), what)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
    debug: Annotated[  # noqa: ARG001 (taken out of the arguments by `_debug_asked_for`; here to be in the help)
        bool, typer.Option("--debug", help="Show tracebacks and all that the libraries say. Works after a command too.")
    ] = False,
) -> None:
    """Take a DVFL-Net video action recognizer from a checkpoint to a phone: convert, check against PyTorch, ship."""
    if context.invoked_subcommand is not None:
        speak(spelling_of(_flags(getattr(context.command, "commands", {}).get(context.invoked_subcommand))))
    if version:
        print_text(f"dvfl-mobile {__version__}")
    elif context.invoked_subcommand is None:
        print_text(context.get_help())
    else:
        return
    raise typer.Exit


def _flags(command: object) -> set[str]:
    """Every flag of a command, and of those below it."""
    own = {flag for parameter in getattr(command, "params", ()) for flag in parameter.opts}
    return own.union(*map(_flags, getattr(command, "commands", {}).values()))


@contextmanager
def _debug_asked_for(arguments: list[str]) -> Iterator[list[str]]:
    """Take `--debug` out of the arguments, wherever it stands, and hold the environment variable meanwhile."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [word for word in arguments[:end] if word != "--debug"] + arguments[end:]
    before = os.environ.get(DEBUG_VARIABLE)
    if len(rest) < len(arguments):
        os.environ[DEBUG_VARIABLE] = "1"
    try:
        yield rest
    finally:
        if before is not None:
            os.environ[DEBUG_VARIABLE] = before
        else:
            os.environ.pop(DEBUG_VARIABLE, None)


def _explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Say on stderr what `error` means to whoever ran the command; return the exit code."""
    limit = _limit_problem(error)
    if limit is not None:
        error = limit
    if isinstance(error, DvflMobileError):
        print_error(error.problem, error.hint)
        return error.exit_code
    if isinstance(error, typer.TyperException):
        print_error(error.format_message(), _usage_hint(error, arguments))
        return error.exit_code
    if isinstance(error, BrokenPipeError) and reader_left():
        return _BROKEN_PIPE
    problem = _missing_package(error) or _machine_problem(error)
    if problem is not None:
        return _explain(problem, arguments)
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    print_error(
        f"internal error (a fault of ours): {type(error).__name__}: {error}",
        "" if debugging() else "Please report it with the command and what --debug adds to it.",
    )
    return DvflMobileError.exit_code


def _usage_hint(error: typer.TyperException, arguments: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)
    see = f"See: {context.command_path if context else 'dvfl-mobile'} --help"
    names = [word for word in arguments if _LIKE_A_FILE.fullmatch(word) or (word[:1] == "-" and Path(word).is_file())]
    if not names or "--" in arguments:
        return see
    return f"A name that begins with a dash goes last, behind --: … -- {shlex.quote(names[0])}\n{see}"


def _missing_package(error: BaseException) -> DvflMobileError | None:
    """The error that says which extra brings what could not be imported; None for anything else."""
    package = error.name.split(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
    return MissingDependencyError(package, extra=_EXTRAS[package]) if package in _EXTRAS else None


def _machine_problem(error: BaseException) -> InputError | None:
    """What the machine lacks, where that is what `error` says; None where it says something else."""
    for each in _led_to(error):
        if isinstance(each, MemoryError) or "can't allocate memory" in str(each):
            hint = "Close other programs, or take one target at a time."
            return InputError("The machine ran out of memory.", hint=hint)
    return _place_problem(error) if isinstance(error, OSError) else None


def _limit_problem(error: BaseException) -> InputError | None:
    """That more files had to be open than may be, whatever was made of it on the way; None where that isn't so."""
    if any(os.strerror(number) in str(each) for each in _led_to(error) for number in _FILE_LIMITS):
        hint = "Raise the limit, such as by: ulimit -n 1024"
        return InputError("More files had to be open at once than may be.", hint=hint)
    return None


def _place_problem(error: OSError) -> InputError | None:
    """What a place lacks that was to be read or written."""
    place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if error.errno in _PERMISSION_PROBLEMS:
        return InputError(f"No permission for {place or 'a file'}.", hint="Check who owns it, or name another.")
    if error.errno in _DISK_PROBLEMS or (error.errno == errno.ENOENT and place is None):
        return write_problem(error)
    return None


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised for: libraries make their own of what the system says."""
    led: BaseException | None = error
    while led is not None:
        yield led
        led = led.__cause__ or (None if led.__suppress_context__ else led.__context__)


def _show_traceback() -> None:
    if debugging():
        traceback.print_exc()
