"""Licences of other people's packages that whoever uses them has to accept: shown, accepted by the user, remembered.

Nothing accepts one for the user: not an extra, not a default, and no question that the return key answers. What is
accepted is a text, by its hash, so that another text has to be accepted anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import MissingDependencyError, OutputError, UnfitDependencyError, UsageError, needs
from dvfl_mobile.files import config_folder, sha256_of, write_text
from dvfl_mobile.spelling import command

YES = "yes"
_REMEMBERED = "licences.json"


@dataclass(frozen=True)
class Licence:
    """A licence that a package brings.

    Attributes:
        name: as on the command line.
        title: of its text.
        package: the distribution that brings it.
        file: its text, as the distribution lists it.
        extra: the extra of dvfl-mobile that installs the package.
        about: what to know before reading it; the text alone binds.
        variable: the environment variable that accepts it for a process, where its value is `YES`.
    """

    name: str
    title: str
    package: str
    file: str
    extra: str
    about: str
    variable: str


class LicenceState(Document):
    """A licence here: `text` is the file to read; None where the package isn't installed, or doesn't bring it."""

    name: str
    title: str
    text: str | None
    is_accepted: bool


_LICENCES = (
    Licence(
        name="qualcomm",
        title="Qualcomm's AI Stack License",
        package="onnxruntime-qnn",
        file="onnxruntime_qnn/Qualcomm_LICENSE.pdf",
        extra="qualcomm",
        about="The libraries that compile for Qualcomm's NPU and emulate it are Qualcomm's own. Their licence covers "
        "developing and benchmarking your own applications, and passing the libraries on only in object code within "
        "such an application; it forbids some uses, and advises against others. dvfl-mobile passes none of them on.",
        variable="DVFL_MOBILE_ACCEPT_QUALCOMM_LICENCE",
    ),
)

LICENCES: Mapping[str, Licence] = MappingProxyType({licence.name: licence for licence in _LICENCES})


def licence_named(name: str) -> Licence:
    """The licence of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name not in LICENCES:
        raise UsageError(f"There is no licence {name!r} to accept.", hint=f"Choose from: {', '.join(LICENCES)}.")
    return LICENCES[name]


def text_of(licence: Licence) -> Path:
    """The file that holds its text.

    Raises:
        MissingDependencyError: the package that brings it isn't installed.
        UnfitDependencyError: the package brings no such file.
    """
    with needs(licence.package, extra=licence.extra, why=f"it brings {licence.title}"):
        found = Path(str(metadata.distribution(licence.package).locate_file(licence.file)))
    if not found.is_file():
        version = metadata.version(licence.package)
        raise UnfitDependencyError(
            f"{licence.package} {version} doesn't bring {licence.file}, the licence that has to be accepted.",
            package=licence.package,
            extra=licence.extra,
            hint=f"Install the release that fits: pip install 'dvfl-mobile[{licence.extra}]'",
        )
    return found


def state_of(licence: Licence) -> LicenceState:
    """How it stands here."""
    try:
        text = text_of(licence)
    except MissingDependencyError:
        return LicenceState(name=licence.name, title=licence.title, text=None, is_accepted=False)
    return LicenceState(name=licence.name, title=licence.title, text=str(text), is_accepted=_is_accepted(licence, text))


def accept(name: str) -> LicenceState:
    """Remember for this user that the licence of that name is accepted, as its text is now.

    Raises:
        UsageError: there is no such licence.
        MissingDependencyError: the package that brings it isn't installed.
        OutputError: this user's folder of settings can't be written.
    """
    licence = licence_named(name)
    accepted = {**_remembered(), licence.name: sha256_of(text_of(licence))}
    write_text(config_folder() / _REMEMBERED, json.dumps(accepted, indent=2) + "\n")
    return state_of(licence)


def check_accepted(name: str) -> None:
    """Refuse to go on where the user hasn't accepted a licence.

    Raises:
        MissingDependencyError: the package that brings it isn't installed.
        UnfitDependencyError: it isn't accepted; the message says where to read it, and how to accept it.
    """
    licence = licence_named(name)
    text = text_of(licence)
    if not _is_accepted(licence, text):
        raise UnfitDependencyError(
            f"{licence.title} isn't accepted, and without that nobody may use {licence.package}. Its text is {text}.",
            package=licence.package,
            extra=licence.extra,
            hint=f"Read it, and accept it with: {command('doctor', accept_licence=licence.name)}; or for one "
            f"process by setting {licence.variable}={YES}.",
        )


def _is_accepted(licence: Licence, text: Path) -> bool:
    return os.environ.get(licence.variable) == YES or _remembered().get(licence.name) == sha256_of(text)


def _remembered() -> dict[str, str]:
    """The hashes of accepted texts, by the names of their licences; empty where nothing that can be read says so."""
    try:
        found = json.loads((config_folder() / _REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError, OutputError):
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
