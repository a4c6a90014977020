"""Real adbd daemons, and the adb server that sees them, in namespaces of their own: phones that tests may break.

Nothing outside is touched or bound: network, processes, mounts and the kernel's table of emulators are the world's own.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvfl_mobile.devices.android.adb import Adb
from dvfl_mobile.devices.android.place import BASE

HERE = Path(__file__).resolve().parent
SERVER_PORT = 16010
_NAMESPACES = ("--user", "--map-root-user", "--net", "--mount", "--pid")
_SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
_EMULATED = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:%s:F"
)
_READY_S = 20.0


@dataclass(frozen=True)
class System:
    """What phones are made of.

    Attributes:
        source: the folder of a system; `/` for this machine's own.
        daemon: the path of its adbd, below the phone's root.
        getprop: a script that takes its place; empty: there is none.
        variables: what the daemon's environment has besides, such as `NAME=VALUE`.
    """

    tools: Path
    source: Path
    daemon: str
    getprop: str = ""
    variables: tuple[str, ...] = ()


class Phone:
    """An adbd that listens in the world, and that the world's adb server is connected to.

    Attributes:
        serial: what adb calls it.
        folder: where private folders are made on it, as it can be looked at from here.
    """

    def __init__(self, world: World, system: System, port: int, root: Path) -> None:
        self._world, self._port = world, port
        self._root, self._system = root, system
        self._pid = 0
        self.serial = f"127.0.0.1:{port}"
        self.folder = Path(f"{world.root}{root}{BASE}")
        _mount(world, system, root)

    def start(self) -> None:
        """Start the daemon, and wait until adb calls it ready."""
        self.start_unseen()
        self._world.wait_for(self.serial, "device")

    def start_unseen(self) -> None:
        """Start the daemon, and leave it to others to tell adb."""
        variables = [f"ADBD_PORT={self._port}", "HOME=/", "PATH=/system/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
        variables += self._system.variables
        enter = ["chroot", str(self._root), "/usr/bin/env", "-i", *variables]
        self._pid = self._world.start([*enter, self._system.daemon])

    def kill(self) -> None:
        """End the daemon, as when a cable is pulled."""
        self._world.signal(self._pid, signal.SIGKILL)

    def stop(self) -> None:
        """Have the daemon do nothing, and keep its connections."""
        self._world.signal(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._world.signal(self._pid, signal.SIGCONT)

    def leave(self) -> None:
        """End the daemon, and have the server forget it."""
        self.kill()
        self._world.adb("disconnect", self.serial)

    def shrink(self, size_bytes: int) -> None:
        """Have the folder that private folders are made in lie on a disk of its own, of so many bytes."""
        self._world.run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", f"{self._root}{BASE}")

    def adb(self, answer_s: float = 20.0) -> Adb:
        """The device as the code under test reaches it."""
        return Adb(str(self._world.adb_path), self.serial, answer_s)


class World:
    """What a first process holds together: a network, an adb server, phones.

    Attributes:
        root: its file system, as it can be looked at from here.
        adb_path: an `adb` that reaches its server, from here.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder
        self._ports, self._turn = iter(range(16011, 20000)), threading.Lock()
        self._receive()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        self.first = int(children.split()[0])
        self.root = Path(f"/proc/{self.first}/root")
        self.adb_path = folder / "adb"

    def start(self, command: list[str], variables: dict[str, str] | None = None) -> int:
        """Start a process in the world; its number there."""
        log, environment = str(self._folder / "world.log"), variables or {"PATH": os.environ["PATH"]}
        return int(self._ask(do="start", command=command, environment=environment, log=log)["pid"])

    def run(self, *command: str) -> str:
        """Run a command in the world to its end; what it said.

        Raises:
            RuntimeError: it failed, with what it said.
        """
        answer = self._ask(do="run", command=command)
        if answer["status"] != 0:
            raise RuntimeError(f"{command[0]}: {answer['said'].strip()}")
        return str(answer["said"])

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of the world; nothing happens if it has ended."""
        self._ask(do="signal", pid=pid, signal=int(number))

    def adb(self, *arguments: str) -> str:
        """What adb says."""
        done = subprocess.run(
            [self.adb_path, *arguments], capture_output=True, text=True, timeout=_READY_S, check=False
        )
        return done.stdout + done.stderr

    def wait_for(self, serial: str, state: str) -> None:
        """Have the server connect, until it calls a device by that state."""
        self.until(lambda: self._is(serial, state), f"{serial} never became {state}")

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait until something holds."""
        until = time.monotonic() + _READY_S
        while not holds():
            assert time.monotonic() < until, otherwise
            time.sleep(0.02)

    def phone(self, system: System) -> Phone:
        """A new phone that is ready, and that nobody else uses."""
        port = next(self._ports)
        phone = Phone(self, system, port, self._folder / f"phone-{port}")
        phone.start()
        return phone

    def pretend(self, behaviour: str) -> str:
        """The serial number of a device that speaks adb's protocol no further than `behaviour` says."""
        port = next(self._ports)
        self.start([sys.executable, "-I", str(HERE / "adbd_pretend.py"), str(port), behaviour])
        return f"127.0.0.1:{port}"

    def _is(self, serial: str, state: str) -> bool:
        # A server that has lost a device says "already connected" and never looks for it again.
        if f"{serial}\t{state}" in (listed := self.adb("devices")):
            return True
        if f"{serial}\toffline" in listed:
            self.adb("disconnect", serial)
        self.adb("connect", serial)
        return f"{serial}\t{state}" in self.adb("devices")

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._turn:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the world has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def opened_world(tools: Path, folder: Path) -> Iterator[World]:
    """A world with an adb server and no phone yet; all that is started in it ends with it.

    Raises:
        RuntimeError: this system doesn't let its users make one.
    """
    init = [sys.executable, "-I", str(HERE / "adbd_init.py")]
    process = subprocess.Popen(
        ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", *init],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "world.log").open("wb"),
        text=True,
        start_new_session=True,
    )
    try:
        try:
            world = World(process, folder)
        except RuntimeError:
            said = (folder / "world.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"no namespaces for this user: {said.strip()[-200:]}") from None
        _serve(world, tools, folder)
        yield world
    finally:
        process.kill()
        process.communicate()


def _serve(world: World, tools: Path, folder: Path) -> None:
    """Start the adb server, and write a script that reaches it."""
    variables = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "ANDROID_ADB_SERVER_PORT": str(SERVER_PORT),
        "ADB_MDNS": "0",
        "ADB_MDNS_AUTO_CONNECT": "0",
    }
    world.start([str(tools / "bin" / "adb"), "nodaemon", "server"], variables)
    assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    enter = f"nsenter --preserve-credentials -t {world.first} -U -n"
    world.adb_path.write_text(f'#!/bin/sh\n{assignments} exec {enter} {shlex.quote(str(tools / "bin" / "adb"))} "$@"\n')
    world.adb_path.chmod(0o755)
    world.until(lambda: "List of devices" in world.adb("devices"), "the adb server never answered")


def _mount(world: World, system: System, root: Path) -> None:
    """Mount the root folder of a phone, in the world alone."""
    root.mkdir()
    world.run("mount", "-t", "tmpfs", "tmpfs", str(root))
    script = ["set -e", f"cd {shlex.quote(str(root))}", f"mkdir -p .{BASE} tmp system/bin"]
    for name in _SYSTEM:
        if (system.source / name).is_symlink():
            script.append(f"ln -s {shlex.quote(str((system.source / name).readlink()))} {name}")
        elif (system.source / name).is_dir():
            script += _bound(system.source / name, name)
    for name in ("proc", "dev", "sys"):
        script += _bound(Path("/", name), name)
    script += _bound(system.tools, "device-tools")
    if system.getprop:
        script += [f"printf %s {shlex.quote(system.getprop)} >system/bin/getprop", "chmod 755 system/bin/getprop"]
    world.run("sh", "-c", "\n".join(script))


def emulate_arm64(world: World, tools: Path) -> None:
    """Have the kernel start programs for 64-bit Arm by the emulator, in this world alone.

    Raises:
        RuntimeError: the kernel is older than 6.7, and has one table of emulators for all.
    """
    table = "/proc/sys/fs/binfmt_misc"
    world.run("mount", "-t", "binfmt_misc", "binfmt_misc", table)
    entry = _EMULATED % (tools / "usr" / "bin" / "qemu-aarch64")
    world.run("sh", "-c", f"printf %s {shlex.quote(entry)} >{table}/register")


def _bound(source: Path, name: str) -> list[str]:
    return [f"mkdir {name}", f"mount --rbind {shlex.quote(str(source))} {name}"]
