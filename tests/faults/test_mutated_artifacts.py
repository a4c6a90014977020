"""Damaged and hostile artifacts whose manifests fit them: each gives logits or a sentence, in time, whatever a runtime
makes of it.

`DVFL_MOBILE_MUTANTS=2000` tries so many of each kind in place of a hundred, half of them with weights in int8.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

import dvfl_mobile
from dvfl_mobile.artifacts import manifest as manifests
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.errors import ArtifactError, DvflMobileError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.child import limits, process
from dvfl_mobile.runners.child.isolated import IsolatedRunner
from dvfl_mobile.runners.child.process import Child
from dvfl_mobile.runners.tracing import trace
from dvfl_mobile.targets import target_named
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.faults.mutations import ABOVE, ABSOLUTE, mutate
from tests.faults.watching import Watch

IN_CI = 100
MUTANTS = int(os.environ.get("DVFL_MOBILE_MUTANTS", IN_CI))
TRACED = 20
DEADLINE_S = 20.0
SLACK_S = 10.0
A_CHILD_S_SHARE = 250
# What a process of Python's opens that has nothing to do with an artifact.
OWN_FILES = (
    *(sys.prefix, sys.base_prefix, str(Path(dvfl_mobile.__file__).parents[1])),
    # An environment may borrow another's packages.
    *(path for path in sys.path if path.endswith("site-packages")),
    *("/usr/", "/lib", "/etc/ld.so.cache", "/dev/null", "/dev/urandom"),
    *("/proc/self/", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/", "/sys/fs/cgroup/"),
)

TARGETS = pytest.mark.parametrize("target", ["tflite", "executorch", "coreml"])
IN_INT8 = {
    "tflite": "dynamic_wi8_afp32",
    "executorch": "dynamic_wi8_afp32",
    "coreml": "weight_only_wi8_afp32",
}
Copy = Callable[..., Artifact]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Artifact]:
    """A function that gives a whole artifact of a target, by a recipe."""
    out = tmp_path_factory.mktemp("whole")

    @cache
    def make(target: str, recipe: str) -> Artifact:
        skip_without(target)
        [made] = convert(seeded_student(TINY), make_plan([target], recipe, out))
        return made

    return make


@pytest.fixture
def copy(whole: Callable[[str, str], Artifact], tmp_path: Path) -> Copy:
    """A function that gives a fresh copy of it, always at the same place."""

    def make(target: str, recipe: str = "fp32") -> Artifact:
        made, place = whole(target, recipe), tmp_path / "out" / "tiny" / target / "fp32"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(made.folder, place)
        return Artifact(place, made.manifest)

    return make


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Watch]:
    """Files outside of the package, at the places that mutated paths name; nobody may open them."""
    places = [tmp_path / "out" / "tiny" / "coreml" / ABOVE, Path(ABSOLUTE)]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes(1000))
    try:
        with Watch(places) as watch:
            yield watch
    finally:
        places[1].unlink()


class Server:
    """A child that opens many artifacts, one after the other, until one of them ends it."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._served = 0

    def run(self, artifact: Artifact, clip: np.ndarray) -> np.ndarray:
        """Logits, once the files are found to be the manifest's, as `open_runner` gives them."""
        manifests.verify(artifact.manifest, artifact.folder)
        bounds = limits.limits_for(artifact.manifest.size_bytes)
        if self._child is None or self._served >= A_CHILD_S_SHARE:
            self.close()
            self._child, self._served = Child(artifact.folder / artifact.manifest.file), 0
            runner = target_named(artifact.manifest.target).runner
            self._child.prepare(runner, replace(bounds, deadline_s=120))
        self._served += 1
        document = {
            "folder": str(artifact.folder),
            "manifest": artifact.manifest.model_dump(mode="json"),
            "settings": {},
        }
        try:
            self._child.ask({"do": "open", "memory_bytes": bounds.memory_bytes, **document}, DEADLINE_S)
            return self._child.ask({"do": "run"}, DEADLINE_S, clip[None]).array
        finally:
            if self._child._failure is not None:
                self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def run_alone(artifact: Artifact, clip: np.ndarray) -> np.ndarray:
    """Logits, as `open_runner` gives them: by a child for this artifact alone."""
    runner = open_runner(artifact.folder, artifact.manifest)
    assert isinstance(runner, IsolatedRunner)
    try:
        return runner.run(clip[None])
    finally:
        runner.close()


def outcome(run: Callable[[], np.ndarray]) -> str:
    """What became of a mutant, in a word; any other error than one of ours fails the test."""
    start = time.monotonic()
    try:
        logits = run()
        answer, word = str(logits.shape), "ran"
    except ArtifactError as error:
        answer, word = error.hint, _word(error)
    except DvflMobileError as error:
        answer, word = error.hint, type(error).__name__
    assert answer
    assert time.monotonic() - start < 2 * DEADLINE_S + 120 + SLACK_S, "it hung"
    return word


def _word(error: ArtifactError) -> str:
    for part, word in (
        ("crashed (", "crashed its child"),
        ("ended with exit code", "ended its child"),
        ("was killed (", "had its child killed"),
        ("took longer than", "hung its child"),
        ("computed for too long", "hung its child"),
        ("more memory than", "wanted too much memory"),
        ("answered", "made its child talk nonsense"),
    ):
        if part in error.problem:
            return word
    return "refused"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who opens a file")
def test_the_watch_sees(canary: Watch) -> None:
    assert canary.opened() == []
    Path(ABSOLUTE).read_bytes()
    assert canary.opened() == [Path(ABSOLUTE)]


@TARGETS
@pytest.mark.usefixtures("warm_children")  # the product's own way is the next test's
def test_no_mutant_takes_the_tool_along(target: str, copy: Copy, canary: Watch) -> None:
    server, outcomes, harmful = Server(), Counter[str](), []
    clip = np.random.RandomState(0).randint(0, 256, (8, 3, 64, 64)).astype(np.uint8)
    unharmed = copy(target)
    assert outcome(partial(server.run, unharmed, clip)) == "ran"
    start = time.monotonic()
    for seed in range(MUTANTS):
        artifact = copy(target, IN_INT8[target] if MUTANTS > IN_CI and seed % 2 else "fp32")
        manifest, what = mutate(artifact.folder, artifact.manifest, random.Random(f"{target} {seed}"))
        mutant = Artifact(artifact.folder, manifest)
        word = outcome(partial(server.run, mutant, clip))
        outcomes[word] += 1
        if word not in ("ran", "refused"):
            alone = outcome(partial(run_alone, mutant, clip))
            harmful.append(f"{seed} ({what}): {word}; in a child of its own: {alone}")
    server.close()
    counts = ", ".join(f"{count} {word}" for word, count in outcomes.most_common())
    print(f"\n{target}: {MUTANTS} mutants in {time.monotonic() - start:.0f} s: {counts}", *harmful, sep="\n  ")
    assert set(outcomes) <= {
        "ran",
        "refused",
        "crashed its child",
        "ended its child",
        "hung its child",
        "wanted too much memory",
    }
    assert canary.opened() == []


@TARGETS
def test_the_product_s_own_way(target: str, copy: Copy, canary: Watch) -> None:
    """A child for each artifact, as `open_runner` has it."""
    clip = np.zeros((8, 3, 64, 64), np.uint8)

    outcomes = Counter[str]()
    # Importing torch, which every child but TFLite's does, takes longer than all else.
    for seed in range(24 if target == "tflite" or MUTANTS > IN_CI else 2):
        artifact = copy(target)
        manifest, _ = mutate(artifact.folder, artifact.manifest, random.Random(f"product {target} {seed}"))
        outcomes[outcome(partial(run_alone, Artifact(artifact.folder, manifest), clip))] += 1
    print(f"\n{target}, a child for each: {dict(outcomes)}")
    assert outcomes["ran"] + outcomes["refused"] > 0
    assert canary.opened() == []


@TARGETS
@pytest.mark.usefixtures("warm_children")
def test_a_trace_is_no_way_around(target: str, copy: Copy, canary: Watch) -> None:
    """`parity --locate` reads artifacts by other means than runs do."""
    clip, outcomes = np.zeros((8, 3, 64, 64), np.uint8), Counter[str]()

    def logits(artifact: Artifact) -> np.ndarray:
        return trace(artifact.folder, artifact.manifest, clip).input.values[:1]

    for seed in range(24 if target == "tflite" or MUTANTS > IN_CI else 2):
        artifact = copy(target)
        manifest, _ = mutate(artifact.folder, artifact.manifest, random.Random(f"trace {target} {seed}"))
        outcomes[outcome(partial(logits, Artifact(artifact.folder, manifest)))] += 1
    print(f"\n{target}, traced: {dict(outcomes)}")
    assert outcomes["ran"] + outcomes["refused"] > 0
    assert canary.opened() == []


@TARGETS
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_kernel_sees_no_other_file_opened(
    target: str, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, traced = tmp_path / "opened", tmp_path / "traced"
    strace = f"strace -D -f --seccomp-bpf -qq -e trace=open,openat,openat2,creat -o {log}"
    traced.write_text(f'#!/bin/sh\nexec {strace} {sys.executable} "$@"\n')
    traced.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(traced))
    server = Server()
    clip = np.zeros((8, 3, 64, 64), np.uint8)
    try:
        whole = copy(target)
        if outcome(partial(server.run, whole, clip)) != "ran":
            pytest.skip("strace may not trace here")
        for seed in range(TRACED):
            artifact = copy(target)
            manifest, _ = mutate(artifact.folder, artifact.manifest, random.Random(f"traced {target} {seed}"))
            outcome(partial(server.run, Artifact(artifact.folder, manifest), clip))
    finally:
        server.close()
    time.sleep(0.5)
    read, others = _opened_since(log.read_text(), str(whole.folder))
    assert read, "the artifact itself was seen"
    assert others == []


def _opened_since(log: str, folder: str) -> tuple[int, list[str]]:
    """How often files of an artifact were opened, and what else was from the first time on."""
    lines = [line for line in log.splitlines() if re.search(r"= \d+$", line)]
    paths = [(line, match[1]) for line in lines if (match := re.search(r'"(.*?)"', line))]
    start = next((index for index, (_, path) in enumerate(paths) if path.startswith(folder)), len(paths))
    inside = [path for _, path in paths[start:] if path.startswith(folder)]
    # Opened for writing, even one of these is none of a runtime's.
    others = [
        line
        for line, path in paths[start:]
        if not path.startswith((folder, *OWN_FILES))
        or (re.search("O_WRONLY|O_RDWR|O_CREAT", line) and path != "/dev/null")
    ]
    return len(inside), others
