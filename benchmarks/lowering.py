"""How long lowering the default student to ExecuTorch takes with and without `lean_exports` and `passes_that_apply`.

    python benchmarks/lowering.py [--rounds 2]

Each lowering in a process of its own, in turn; processor seconds, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock


def lower(*, lean: bool) -> tuple[float, str]:
    """Processor seconds of one lowering, without imports, and the SHA-256 of what came of it."""
    import executorch.exir  # noqa: F401 (importing it takes seconds of its own)

    import dvfl_mobile.converters.executorch as converter
    from dvfl_mobile.model.default import default_student
    from dvfl_mobile.pipeline.convert import convert
    from dvfl_mobile.pipeline.plan import make_plan

    student = default_student()
    plain = [] if lean else ["dvfl_mobile.model.lean.exports.lean_exports", f"{converter.__name__}.passes_that_apply"]
    for name in plain:
        mock.patch(name, return_value=nullcontext()).start()
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        [artifact] = convert(student, make_plan(["executorch"], "fp32", Path(folder)))
        taken = time.process_time() - start
        data = (artifact.folder / artifact.manifest.file).read_bytes()
    return taken, hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", choices=("lean", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(*lower(lean=options.one == "lean"))
        return
    taken: dict[str, list[float]] = {"lean": [], "plain": []}
    hashes = set()
    for _ in range(options.rounds):
        for kind, found in taken.items():
            command = [sys.executable, __file__, "--one", kind]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            seconds, digest = done.stdout.split()[-2:]
            found.append(float(seconds))
            hashes.add(digest)
            print(f"{kind}: {seconds} s", file=sys.stderr)
    assert len(hashes) == 1, "not the same bytes"
    lean, plain = (statistics.median(taken[kind]) for kind in ("lean", "plain"))
    print(f"lean {lean:.1f} s, plain {plain:.1f} s: {plain / lean:.2f} times as long; the same bytes")


if __name__ == "__main__":
    main()
