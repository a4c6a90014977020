"""An adb between the code and the real one, that does one wrong thing at one call: DEED SEED ADB ARGUMENT….

What a cable, a hub, a full phone or a bug might do: bytes lost, changed, doubled or late, an exit status that lies.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Streams = tuple[bytes, bytes, int]


def whole(command: list[str]) -> Streams:
    """What the real one answers."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout, done.stderr, done.returncode


def cut(command: list[str], chance: random.Random) -> Streams:
    """The answer ends somewhere, and all is said to be well."""
    out, _, _ = whole(command)
    return out[: chance.randrange(len(out) + 1)], b"", 0


def flip(command: list[str], chance: random.Random) -> Streams:
    """A byte of the answer is another."""
    out, err, status = whole(command)
    if out:
        at = chance.randrange(len(out))
        out = out[:at] + bytes([out[at] ^ (1 << chance.randrange(8))]) + out[at + 1 :]
    return out, err, status


def double(command: list[str], chance: random.Random) -> Streams:
    """A part of the answer comes twice."""
    out, err, status = whole(command)
    start, end = sorted(chance.randrange(len(out) + 1) for _ in range(2))
    return out[:end] + out[start:], err, status


def skip(command: list[str], chance: random.Random) -> Streams:
    """A part of the answer is missing."""
    out, err, status = whole(command)
    start, end = sorted(chance.randrange(len(out) + 1) for _ in range(2))
    return out[:start] + out[end:], err, status


def twice(command: list[str], _: random.Random) -> Streams:
    """It is done twice, and answered once for each."""
    first, second = whole(command), whole(command)
    return first[0] + second[0], b"", 0


def claim(_command: list[str], _: random.Random) -> Streams:
    """Nothing is done, and all is said to be well."""
    return b"1 file pushed, 0 skipped.\n", b"", 0


def refuse(_command: list[str], _: random.Random) -> Streams:
    """Nothing is done, for no known reason."""
    return b"", b"adb: error: closed\n", 1


def hang(_command: list[str], _: random.Random) -> Streams:
    """Nothing is done for ever."""
    time.sleep(1000)
    return b"", b"", 0


def shorten(command: list[str], chance: random.Random) -> Streams:
    """Of a file that is pushed, less arrives; of anything else, what `cut` does."""
    if "push" not in command:
        return cut(command, chance)
    at = command.index("push") + 1
    data = Path(command[at]).read_bytes()
    less = Path(sys.argv[0]).parent / f"less-{chance.random()}"
    less.write_bytes(data[: chance.randrange(len(data) + 1)])
    return whole([*command[:at], str(less), *command[at + 1 :]])


def change(command: list[str], chance: random.Random) -> Streams:
    """Of a file that is pushed, other bytes arrive; of anything else, what `flip` does."""
    if "push" not in command:
        return flip(command, chance)
    at = command.index("push") + 1
    data = bytearray(Path(command[at]).read_bytes())
    data[chance.randrange(len(data))] ^= 1
    other = Path(sys.argv[0]).parent / f"other-{chance.random()}"
    other.write_bytes(data)
    return whole([*command[:at], str(other), *command[at + 1 :]])


DEEDS: dict[str, Callable[[list[str], random.Random], Streams]] = {
    deed.__name__: deed for deed in (cut, flip, double, skip, twice, claim, refuse, hang, shorten, change)
}

SCRIPT = """#!/bin/sh
# Calls are counted; builtins alone, so that it takes no time.
count=0
[ ! -e @FOLDER@/count ] || read -r count <@FOLDER@/count
echo $((count + 1)) >@FOLDER@/count
[ $count = @AT@ ] || exec @ADB@ "$@"
: >@FOLDER@/done
exec @PYTHON@ -I @FOLDER@/meddling.py @DEED@ @SEED@ @ADB@ "$@"
"""


def write(folder: Path, adb: Path, deed: str, at: int, seed: int) -> Path:
    """Write an adb that does `deed` at its call number `at`; a file `done` beside it tells that it did."""
    folder.mkdir()
    (folder / "meddling.py").write_bytes(Path(__file__).read_bytes())
    words = {"FOLDER": folder, "AT": at, "ADB": adb, "PYTHON": sys.executable, "DEED": deed, "SEED": seed}
    script = SCRIPT
    for word, value in words.items():
        script = script.replace(f"@{word}@", str(value))
    path = folder / "adb"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    return path


def main() -> None:
    """Do the deed."""
    _, deed, seed, *command = sys.argv
    out, err, status = DEEDS[deed](command, random.Random(int(seed)))
    sys.stdout.buffer.write(out)
    sys.stderr.buffer.write(err)
    sys.exit(status)


if __name__ == "__main__":
    main()
