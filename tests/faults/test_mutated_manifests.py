"""Manifests with values that no converter writes: `inspect` shows them harmlessly, or says what is wrong with them."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dvfl_mobile.artifacts import manifest
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.report import contents
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.faults import quick
from tests.quantized import small_form

MUTANTS = max(500, int(os.environ.get("DVFL_MOBILE_MUTANTS", "0")))

STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63),
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "\x1b]0;owned\x07\x1b[2J",
    "[/bold]",
    "[link=http://localhost]x",
    "a\nb\rc",
    "\u202egnp.exe",
    "\ud83d\ude00" * 100,
    "x" * 100_000,
    "../../../etc/passwd",
    [],
    {},
    [[]],
    {"a": {"b": []}},
)


@pytest.fixture(scope="module", params=["fp32", "static_wi8_ai8"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick artifact; of the static recipe, with scales."""
    skip_without("tflite")
    out = tmp_path_factory.mktemp("manifests")
    model = seeded_student(TINY) if request.param == "fp32" else small_form()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
        [made] = convert(model, make_plan(["tflite"], request.param, out))
    return made.folder


def test_no_manifest_takes_inspect_along(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = json.loads(path.read_text())
    outcomes = Counter[str]()
    start = time.monotonic()
    for seed in range(MUTANTS):
        document = copy.deepcopy(whole)
        rng = random.Random(seed)
        for _ in range(rng.choice((1, 1, 1, 3))):
            _mutate(document, rng)
        path.write_text(json.dumps(document))
        try:
            shown = _inspect(folder)
            outcomes["shown"] += 1
            assert "\x1b" not in shown
            assert "\x07" not in shown
            assert "\u202e" not in shown
        except ArtifactError as error:
            outcomes["refused with a hint" if error.hint else "refused"] += 1
    path.write_text(json.dumps(whole))
    print(f"\n{MUTANTS} manifests in {time.monotonic() - start:.0f} s: {dict(outcomes)}")
    assert outcomes.keys() == {"shown", "refused with a hint"}


def _inspect(folder: Path) -> str:
    found = manifest.read(folder)
    manifest.verify(found, folder)
    stream = io.StringIO()
    console = Console(file=stream, width=120, highlight=False)
    for operators in (False, True):
        console.print(contents.terminal(found, folder, operators=operators))
    return stream.getvalue()


def _mutate(document: Any, rng: random.Random) -> None:
    """Put something strange in the place of one value, somewhere."""
    where = document
    while True:
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        key = rng.choice(keys)
        if isinstance(where[key], dict | list) and where[key] and rng.random() < 0.9:
            where = where[key]
            continue
        kind = rng.random()
        if kind < 0.1 and isinstance(where, dict):
            del where[key]
        elif kind < 0.2 and isinstance(where, list):
            where.append(copy.deepcopy(where[key]))
        else:
            where[key] = copy.deepcopy(rng.choice(STRANGE))
        return
