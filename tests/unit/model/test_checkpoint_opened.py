"""A checkpoint's file is opened once: what was checked is what is read."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dvfl_mobile.model.checkpoint.opened import CheckpointFile, opened
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.load import load_model, recipe_of
from tests.checkpoints import SMALL, config_of, save_official, small_weights
from tests.conversions import skip_without
from tests.faults import quick

Outcome = tuple[int, str, str]

WRITERS: dict[str, Callable[[Path], object]] = {
    "official": lambda path: save_official(path, config_of()),
    "before torch 1.6": lambda path: save_official(path, config_of(), _use_new_zipfile_serialization=False),
    "bare": lambda path: torch.save(small_weights(), path),
    "safetensors": lambda path: save_file(small_weights(), path),
    "student": lambda path: save_student(seeded_student(SMALL), path),
}
_watched: list[str] = []
_counting = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _counting and event == "open":
        _watched.append(str(arguments[0]))


sys.addaudithook(_hook)


@contextmanager
def opens_of(path: Path) -> Iterator[list[str]]:
    """The openings of a file in the block, as Python knows of them; filled at its end."""
    global _counting
    found: list[str] = []
    _watched.clear()
    _counting = True
    try:
        yield found
    finally:
        _counting = False
        found += [name for name in _watched if Path(name).name == path.name]


@pytest.fixture(scope="module", params=[*WRITERS, "quantized"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "quantized":
        form: Path = request.getfixturevalue("written_form")
        return form
    path = tmp_path_factory.mktemp("written") / "the-checkpoint"
    WRITERS[request.param](path)
    return path


@pytest.fixture
def checkpoint(written: Path, tmp_path: Path) -> Path:
    """A copy of its own: it may be removed."""
    return Path(shutil.copy(written, tmp_path / "the-checkpoint"))


def test_it_is_opened_once_on_the_way_to_a_model(checkpoint: Path) -> None:
    with opens_of(checkpoint) as found, opened(checkpoint) as file:
        recipe_of(file, None)
        load_model(file)
    assert len(found) == 1


def test_nothing_goes_back_to_the_path(checkpoint: Path) -> None:
    """Libraries that open files by themselves, unknown to Python, would miss it."""
    with opened(checkpoint) as file:
        recipe = recipe_of(file, None)
        whole = load_model(file)
        checkpoint.unlink()
        assert recipe_of(file, None) == recipe
        again = load_model(file)
    assert again.student.source == whole.student.source
    ours, theirs = again.student.network.state_dict(), whole.student.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_command_opens_it_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., Outcome]
) -> None:
    skip_without("tflite")
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    with opens_of(checkpoint) as found:
        code, _, errors = run_command("convert", checkpoint, "--target", "tflite", "-o", tmp_path / "out")
    assert code == 0, errors
    assert len(found) == 1


def test_what_takes_its_place_meanwhile_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_student(seeded_student(SMALL), path)
    with CheckpointFile(path) as file:
        before = file.sha256()
        save_student(seeded_student(SMALL, seed=1), path)
        assert file.sha256() == before


def test_no_checkpoint_is_no_file() -> None:
    with opened(None) as file:
        assert file is None
        assert recipe_of(file, None) == "fp32"


def test_it_is_closed_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_student(seeded_student(SMALL), path)
    with CheckpointFile(path) as file:
        content = file.content
    assert content.closed
