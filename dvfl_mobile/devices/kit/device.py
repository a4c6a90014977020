"""`kit:FILE`: somebody else's phone, by what a kit brought back from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.android.facts import parse_facts
from dvfl_mobile.devices.android.state import parse_state
from dvfl_mobile.devices.base import DeviceRunner
from dvfl_mobile.devices.harness.bundle import NAME, Bundle
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.kit.place import RecordedPlace
from dvfl_mobile.devices.kit.results import Results, open_results
from dvfl_mobile.devices.values import DeviceFacts, DeviceState, FoundDevice
from dvfl_mobile.errors import InconclusiveError


class RecordedDevice:
    """A phone that was elsewhere: it has run what the kit asked for, and runs nothing else."""

    times_operators: bool = False

    def __init__(self, results: Results, name: str) -> None:
        self.results = results
        facts = parse_facts(name, results.facts)
        elsewhere = f"{facts.system}, measured elsewhere at {results.when}"
        self.facts: DeviceFacts = facts.model_copy(update={"system": elsewhere})
        self.identity: str = name
        self._place = RecordedPlace(results)

    def state(self) -> DeviceState:
        """How it was after the run that was looked at last."""
        last = self._place.last
        return parse_state(self.results.state if last is None else last.state)

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[DeviceRunner]:
        """The artifact in `folder`, as it ran there.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            InconclusiveError: no program of the kit runs this target.
        """
        if manifest.target not in self.results.record.bundles:
            raise InconclusiveError(f"{self.results.name} holds no run of an artifact for {manifest.target}.")
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as place:
            Path(place, NAME).write_text(self.results.record.bundles[manifest.target], encoding="utf-8")
            bundle = Bundle(Path(place), is_here=False)
            yield NativeRunner(self._place, bundle, folder, manifest, self.facts)


def find(argument: str) -> RecordedDevice:
    """The phone of a results file. Raises ArtifactError where that can't be believed."""
    return RecordedDevice(open_results(Path(argument)), f"kit:{argument}")


def found() -> Sequence[FoundDevice]:
    """None: files aren't looked for."""
    return ()
