"""From nothing to the first report of an Android phone: each command, and how long it took.

    python benchmarks/first_profile.py [--wheel FILE] [--transcript FILE]

The phone is an Arm system under an emulator behind the real adbd (tests/device), which says that it is Android; the
real adb reaches it. So the way is a user's, and the times that the profile itself shows are an emulator's, of no use.
Everything is fresh: a clone, an environment, the cache of built programs; pip may have packages in its own.

Args:
    --wheel: a wheel of `make runner-wheel`, which is installed in place of a compiler.
    --transcript: also write all that the commands said.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.device.adbd import System, World, emulate_arm64, opened_world  # noqa: E402
from tests.device_tools import PREFIX  # noqa: E402

GETPROP = """#!/bin/sh
case $1 in
    ro.build.version.release) echo 14 ;;
    ro.product.model) echo 'Chroot for Arm' ;;
    ro.product.cpu.abi) echo arm64-v8a ;;
    *) echo ;;
esac
"""
INSTALL = "python3.11 -m venv .venv && .venv/bin/python -m pip install --quiet -c constraints.txt"


def commands(wheel: Path | None) -> list[str]:
    """What a user types, in a shell, from the folder that the clone goes into on."""
    tools = ["scripts/device-tools build/device-tools adb" + ("" if wheel else " arm64")]
    packages = f"'.[tflite]' {shlex.quote(str(wheel))}" if wheel else "'.[tflite,harness]'"
    return [
        f"git clone --quiet {shlex.quote(str(CHECKOUT))} dvfl-mobile && cd dvfl-mobile",
        *tools,
        f"{INSTALL} {packages}",
        ".venv/bin/dvfl-mobile convert --target tflite --recipe fp32",
        ".venv/bin/dvfl-mobile profile out/pico/tflite/fp32 --device android --runs 2 --warmup 0 --threads 1",
    ]


def timed(command: str, folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a command, and what it said; the end of the program if it failed."""
    print(f"$ {command}", file=sys.stderr, flush=True)
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = time.monotonic() - start
    print(done.stdout, file=sys.stderr, flush=True)
    if done.returncode != 0:
        sys.exit(f"error: it ended with {done.returncode}")
    return took, done.stdout


def phone(world: World) -> None:
    """Have the world's adb see one phone."""
    emulate_arm64(world, PREFIX)
    variables = ("QEMU_CPU=cortex-a76",)
    world.phone(System(PREFIX, PREFIX / "arm64-device", "/usr/sbin/adbd", GETPROP, variables))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--transcript", type=Path)
    options = parser.parse_args()
    wheel = options.wheel.resolve() if options.wheel else None
    lines, said, total_s = [], [], 0.0
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-first-") as name:
        folder = Path(name)
        (folder / "world").mkdir()
        with opened_world(PREFIX, folder / "world") as world:
            phone(world)
            clone = folder / "dvfl-mobile"
            path = os.pathsep.join([str(clone / "build" / "device-tools" / "bin"), os.environ["PATH"]])
            environment = os.environ | {"DVFL_MOBILE_CACHE": str(folder / "cache"), "PATH": path}
            # The one thing that a user doesn't set: which of this machine's networks the adb is in.
            environment["DVFL_MOBILE_ADB"] = str(world.adb_path)
            for command in commands(wheel):
                took, text = timed(command, clone if clone.exists() else folder, environment)
                lines.append(f"| `{command}` | {took:.0f} s |")
                said.append(f"$ {command}\n{text}")
                total_s += took
    print(
        "\n".join(
            ["| command | took |", "|---|---|", *lines, f"| {len(lines)} commands | {total_s / 60:.1f} minutes |"]
        )
    )
    if options.transcript:
        options.transcript.write_text("\n".join(said), encoding="utf-8")


if __name__ == "__main__":
    main()
