"""`dvfl-mobile doctor`: show what is installed, which targets work here, and what to install."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_error, print_json, print_rich
from dvfl_mobile.cli.options import Json
from dvfl_mobile.errors import MissingDependencyError

if TYPE_CHECKING:
    from dvfl_mobile.devices.environment import Environment, Extra
    from dvfl_mobile.licences import LicenceState

RequestedTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="Fail if this target can't be converted to here; may be given several times.",
        show_default=False,
    ),
]


AcceptLicence = Annotated[
    str | None,
    typer.Option(
        "--accept-licence",
        metavar="NAME",
        help="Accept this licence of other people's packages, such as qualcomm: for this user, this text, and good.",
        show_default=False,
    ),
]


def doctor(targets: RequestedTargets = None, accept_licence: AcceptLicence = None, json: Json = False) -> None:
    """Show versions, runtimes and missing extras, and what to install.

    Ends with 0 whatever is missing, unless --target names a target: then with 4 if that one can't be converted to here.
    """
    from dvfl_mobile.devices.environment import look_around
    from dvfl_mobile.targets import target_named

    for target in targets or []:
        target_named(target)
    environment = look_around(accept_licence)
    if json:
        print_json(environment)
    else:
        _show(environment)
    missing = environment.missing_for(targets or [])
    if missing:
        print_error(f"Not all is here for {', '.join(targets or [])}: {', '.join(missing)}.")
        raise typer.Exit(MissingDependencyError.exit_code)


def _show(environment: Environment) -> None:
    for line in _lines(environment):
        print_rich(line, soft_wrap=True)


def _lines(environment: Environment) -> Iterator[str]:
    from rich.markup import escape

    machine = environment.machine
    features = f" ({', '.join(machine.features)})" if machine.features else ""
    yield f"dvfl-mobile {environment.dvfl_mobile}, Python {environment.python}"
    yield f"{machine.system} {machine.architecture}, {machine.cpu}, {machine.cores} cores{features}"
    yield f"{_gigabytes(machine.memory_bytes)} of memory, {_gigabytes(machine.free_disk_bytes)} free on this disk"
    yield "\n[bold]Packages[/]"
    yield _row("base", _versions(environment.base))
    for extra in environment.extras:
        yield _row(extra.name, _state(extra))
    yield "\n[bold]Targets[/]"
    for target in environment.targets:
        runs = "[green]runs[/]" if target.runs else f"[yellow]does not run[/] here: {target.why_not_run}"
        runs += f" by {target.run_by}" if target.run_by else ""
        converts = "[green]converts[/]" if target.converts else "[yellow]does not convert[/]"
        yield _row(target.name, f"{converts}, {runs}")
        if target.socs:
            yield _row("", f"for {', '.join(target.socs)}")
    yield "\n[bold]Licences[/]"
    for licence in environment.licences:
        yield from _licence(licence)
    yield "\n[bold]Data sets[/]"
    yield f"  {escape(_data(environment))}\n"
    if environment.install:
        yield f"To install what is missing:\n  {escape(environment.install)}"
    else:
        yield "Everything that the extra `all` brings is installed."


def _row(name: str, text: str) -> str:
    return f"  {name:<19}{text}"


def _versions(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {found}" for name, found in packages.items() if found)


def _state(extra: Extra) -> str:
    if not extra.problems:
        return f"[green]ok[/]: {_versions(extra.packages)}"
    return f"[yellow]{', '.join(extra.problems)}[/] ({extra.purpose})"


def _licence(licence: LicenceState) -> Iterator[str]:
    from rich.markup import escape

    from dvfl_mobile.licences import YES, licence_named

    known = licence_named(licence.name)
    if licence.text is None:
        yield _row(licence.name, f"{licence.title}, of {known.package}, which isn't installed")
        return
    accepted = "[green]accepted[/]" if licence.is_accepted else "[yellow]not accepted[/]"
    yield _row(licence.name, f"{accepted}: {licence.title}, of {known.package}")
    yield _row("", escape(licence.text))
    if not licence.is_accepted:
        yield _row("", known.about)
        yield _row("", f"Its text alone binds. To accept it: dvfl-mobile doctor --accept-licence {licence.name}")
        yield _row("", f"or, for one process, {known.variable}={YES}")


def _data(environment: Environment) -> str:
    if environment.data_root is None:
        return "DVFL_MOBILE_DATA isn't set; it may name the folder that holds them."
    return f"{environment.data_root}: {', '.join(environment.data_folders) or 'none'}"


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
