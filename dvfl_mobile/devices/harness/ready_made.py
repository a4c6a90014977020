"""Find the native programs that the package dvfl-mobile-runner brings ready-made, for who has no compiler."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version

from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.harness.sources import sources_sha256
from dvfl_mobile.errors import MissingToolError
from dvfl_mobile.version import __version__

PACKAGE = "dvfl-mobile-runner"
_MODULE = "dvfl_mobile_runner"
_INSTALL = f"pip install {PACKAGE}=={__version__}"


def ready_made(preset: str, target: str) -> Bundle:
    """The installed programs for a kind of machine, if they are those that would be built here.

    Raises:
        DeviceError: they aren't the files that were built.
        MissingToolError: none are installed, or those are of other sources or with another release of the runtime; the
            hint is what to install.
    """
    spec = importlib.util.find_spec(_MODULE)
    folder = Path(spec.submodule_search_locations[0], preset) if spec and spec.submodule_search_locations else None
    if folder is None or not folder.is_dir():
        raise MissingToolError(f"{PACKAGE} isn't installed, or brings no programs for {preset}.", hint=_INSTALL)
    bundle = Bundle(folder)
    if bundle.sources_sha256 != sources_sha256():
        raise MissingToolError(
            f"The installed {PACKAGE} was built from other sources than this dvfl-mobile {__version__} has.",
            hint=_INSTALL,
        )
    here, brought = _installed_version(target), bundle.runtimes.get(target, "none")
    if here is not None and _public(here) != _public(brought):
        distribution = NATIVE[target].distribution
        raise MissingToolError(
            f"The installed {PACKAGE} brings {distribution} {brought}, and {here} is installed here.",
            hint=f"pip install {distribution}=={_public(brought)}",
        )
    return bundle


def _installed_version(target: str) -> str | None:
    try:
        return metadata.version(NATIVE[target].distribution)
    except metadata.PackageNotFoundError:
        return None


def _public(version: str) -> str:
    """A version without what only says how it was built, such as `+cpu`."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version
