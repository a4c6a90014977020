"""This machine as a device that runs the native programs: `host:native`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.base import DeviceRunner
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.host_state import host_facts, host_state
from dvfl_mobile.devices.process import ExpiredError, TooMuchError, run
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, DeviceState
from dvfl_mobile.devices.vulkan import SLOWNESS, environment, first_gpu, kind_of, model_of
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.files import sha256_of
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.wording import printable

_MOST_SAID_BYTES = 2**30
_MOST_SHOWN = 400
_MOST_LINE_BYTES = 2**20
_AGAIN = "Look at this machine's disk and memory, and run it again."


class LocalPlace:
    """A private folder on this machine; `opened` makes and removes it.

    Args:
        device: its name, for errors.
        launcher: what stands before a program to start it: an emulator with its options.
    """

    def __init__(self, folder: Path, device: str, launcher: tuple[str, ...] = ()) -> None:
        self._folder, self._device, self._launcher = folder, device, launcher

    @classmethod
    @contextmanager
    def opened(cls, device: str, launcher: tuple[str, ...] = ()) -> Iterator[LocalPlace]:
        """A new folder, which is removed in the end; programs in it have ended by then."""
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-", ignore_cleanup_errors=True) as folder:
            yield cls(Path(folder), device, launcher)

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:
        """Copy a file there under `name`, whole or not at all."""
        path, partial = self._path(name), self._path(f"{name}.partial")
        try:
            shutil.copyfile(source, partial)
            partial.chmod(0o700 if executable else 0o600)
            if sha256_of(partial) != sha256_of(source):
                raise self._error(f"doesn't hold the bytes of {name} that were copied there")
            partial.replace(path)
        except OSError as error:
            raise self._error(f"can't take {name}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],
        seconds: float,
        on_line: Callable[[str], None],
        starter: tuple[str, ...] = (),
    ) -> int:
        """Run a program of the folder, to its end; each line of its stdout goes to `on_line` as it comes.

        Raises:
            DeviceError: it can't be started, or the deadline passed; it was ended then.
        """
        lines = _Lines(on_line)
        started = [*(str(self._path(name)) for name in starter[:1]), *starter[1:], str(self._path(program)), *arguments]
        start = ["env", f"--chdir={self._folder}", "LC_ALL=C", *self._launcher, *started]
        try:
            ended = run(start, seconds, lines.feed, _MOST_SAID_BYTES)
        except ExpiredError:
            raise self._error(f"didn't run {program} within {seconds:g} seconds; it was ended") from None
        except TooMuchError:
            raise self._error(f"printed more than any run of {program} does") from None
        except OSError as error:
            raise self._error(f"can't start {program}: {error.strerror or error}") from error
        if ended.status != 0 and not lines.heard:
            said = printable(ended.errors.decode("utf-8", errors="replace").strip()[-_MOST_SHOWN:])
            raise self._error(f"can't start {program}: {said or f'it ended with status {ended.status}'}")
        return ended.status

    def get(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a file there.

        Raises:
            DeviceError: it isn't there, or is larger.
        """
        try:
            with self._path(name).open("rb") as file:
                data = file.read(most_bytes + 1)
        except OSError as error:
            raise self._error(f"has no {name} to read: {error.strerror or error}") from error
        if len(data) > most_bytes:
            raise self._error(f"holds a {name} of more than the {most_bytes} bytes that it may have")
        return data

    def remove(self, name: str) -> None:
        """Remove a file there; nothing happens if it is gone."""
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        assert name == Path(name).name, f"{name!r} isn't the name of a file in the folder"
        return self._folder / name

    def _error(self, problem: str) -> DeviceError:
        return DeviceError(
            f"{self._device} {problem}.", hint="Look at this machine's disk and memory, and run it again."
        )


class NativeHost:
    """This machine, with artifacts run by the harness's own programs."""

    times_operators: bool = True

    def __init__(self) -> None:
        self.facts: DeviceFacts = host_facts("host:native")
        self.identity: str = self.facts.device
        self._gpu: str | None = None

    def on_gpu(self, precision: str) -> NativeHost:
        """This machine, with artifacts run on its GPU, or on a CPU in its place.

        Raises:
            MissingDriverError: there is no Vulkan driver.
        """
        adapter, device = first_gpu(), NativeHost()
        about = {
            "device": f"{self.facts.device}+gpu",
            "kind": kind_of(adapter),
            "model": model_of(adapter),
            "computes_in": GPU_PRECISIONS[precision],
        }
        device.facts = self.facts.model_copy(update=about)
        device.times_operators, device._gpu = False, precision
        return device

    def state(self) -> DeviceState:
        """What can change while it is used, as it is now."""
        return host_state()

    def have_programs(self, target: str, step: Step = silent) -> Bundle:
        """The programs for this machine. Raises what `bundle_for` does."""
        return bundle_for("host", target, step)

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[DeviceRunner]:
        """Copy the artifact in `folder` beside the program that runs it; leaving the context removes both.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            DeviceError: the program can't be built, or doesn't run here.
            InconclusiveError: no native program runs this target, or none runs on this system.
            MissingDependencyError: the runtime, or what builds the program, isn't installed.
        """
        bundle = self.have_programs(manifest.target)
        launcher = () if self._gpu is None else ("env", *(f"{key}={value}" for key, value in environment().items()))
        slowness = 1.0 if self._gpu is None else SLOWNESS
        with LocalPlace.opened(self.facts.device, launcher) as place:
            yield NativeRunner(place, bundle, folder, manifest, self.facts, slowness, self._gpu)


class _Lines:
    """Cuts bytes into lines; what has no end is no line."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line, self._rest = on_line, b""
        self.heard = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self.heard = True
            self._on_line(line.decode("utf-8", errors="replace"))
