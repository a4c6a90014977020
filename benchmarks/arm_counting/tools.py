"""The emulator with plugins, and our plugin, which is compiled the first time that it is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.errors import MissingToolError

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
TOOLS = Path(os.environ.get("DVFL_MOBILE_DEVICE_TOOLS") or ROOT / "build" / "device-tools")
EMULATOR = "qemu-aarch64-plugins"

_UNPACKED = TOOLS / "qemu-plugins" / "usr"
_GET_IT = f"Make it, in a few minutes: scripts/device-tools {TOOLS} qemu-plugins"
_COMPILE_S = 120.0


@dataclass(frozen=True)
class Counter:
    """An emulator that can count.

    Attributes:
        qemu: the path of qemu-aarch64.
        plugin: the path of our plugin.
    """

    qemu: Path
    plugin: Path

    def launcher(self, cpu: str, record: str) -> tuple[str, ...]:
        """What stands before a program: it runs on `cpu`, and what it executes is written into the file `record`."""
        return str(self.qemu), "-cpu", cpu, "-plugin", f"{self.plugin},out={record}"


def counter() -> Counter:
    """The emulator and the plugin.

    Raises:
        MissingToolError: the emulator isn't there, or there is no C compiler.
    """
    qemu, compiler = TOOLS / "bin" / EMULATOR, shutil.which("cc")
    if not qemu.exists():
        raise MissingToolError(f"There is no {qemu}, which counts instructions.", hint=_GET_IT)
    if compiler is None:
        raise MissingToolError("There is no C compiler, cc, which compiles the plugin that counts.")
    return Counter(qemu, _plugin(compiler))


def _plugin(compiler: str) -> Path:
    source, header = HERE / "count.c", _UNPACKED / "include" / "qemu-plugin.h"
    key = hashlib.sha256(source.read_bytes() + header.read_bytes()).hexdigest()[:16]
    plugin = ROOT / "build" / "arm-counting" / f"count-{key}.so"
    if plugin.exists():
        return plugin
    plugin.parent.mkdir(parents=True, exist_ok=True)
    # glib's headers are what the plugin's header asks for; nothing of glib is called.
    folders = [_UNPACKED / part for part in ("include", "include/glib-2.0", "lib/x86_64-linux-gnu/glib-2.0/include")]
    partial = plugin.with_suffix(f".{os.getpid()}")
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    command += [*(f"-isystem{folder}" for folder in folders), "-o", str(partial), str(source)]
    subprocess.run(command, check=True, timeout=_COMPILE_S)
    partial.replace(plugin)
    return plugin
