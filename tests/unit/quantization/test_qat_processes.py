"""Quantization-aware training by several processes: the same model as by one with the same global batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dvfl_mobile.errors import UsageError
from dvfl_mobile.quantization.graph.stored import load_form
from dvfl_mobile.training.process_group import process_group
from tests import ranks

# Five clips in batches of three: both processes have a share of unequal size, and in each epoch's last batch too.
# `STATE` is where to keep the state, `STEPS` after how many steps the first process is killed, if at all.
_TRAINS = """
import logging, os, sys
from contextlib import contextmanager
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
logging.disable()
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.quantization.qat import train as qat
from dvfl_mobile.quantization.graph import stored
from dvfl_mobile.quantization.settings import CalibrationFacts, QatSettings
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.training import state as training_state

training_state._SAVE_EVERY_S = 0.0
small = Architecture(embed_dim=16, img_size=32, num_classes=5, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3))
student = seeded_student(small)
clips = np.stack([clip.pixels for clip in moving_shapes(student.clip, 5)])
facts = CalibrationFacts(source="shapes", clips=2, classes=0, seed=0, observer="minmax", sha256="0" * 64)
start = ptq.quantize(student, "static_wi8_ai8", clips[:2], facts)
settings = QatSettings(epochs=2, global_batch=3, learning_rate=1e-4, precision="float32")
first = os.environ.get("RANK", "0") == "0"

@contextmanager
def step(name, total=None, /):
    assert first, "only the first process shows progress"
    done = 0
    def advance():
        nonlocal done
        done += 1
        if name.startswith("train") and str(done) == os.environ.get("STEPS"):
            os.kill(os.getpid(), 9)
    yield advance

state = Path(os.environ["STATE"]) if "STATE" in os.environ else None
form = qat.train(start, clips, [0, 1, None, 3, 4], settings, "shapes", state, step)
assert not torch.distributed.is_initialized()
name = os.environ.get("RANK", "0")
stored.save_form(form, Path(sys.argv[1]) / f"{name}.pt2")
"""


def train(folder: Path, processes: int, check: bool = True, torchrun: bool = False, **environment: str) -> ranks.Ended:
    """Train in new processes; each writes the form that it got to `folder/RANK.pt2`."""
    folder.mkdir(exist_ok=True)
    program = folder / "trains.py"
    program.write_text(_TRAINS)
    ended = ranks.run(program, folder, processes, environment, torchrun=torchrun)
    assert not check or ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 1, torchrun=True)
    return folder / "0.pt2"


def assert_same(one: Path, other: Path) -> None:
    """Equal to the bit.

    Each clip's gradients are the same in whatever process, and sums of a few float32 numbers in double precision are
    exact unless they differ in size by 2²⁶ or more: their order doesn't show. Ranges are least and greatest values.
    """
    mine, its = load_form(one), load_form(other)
    assert mine.settings.scales == its.settings.scales
    for named, others in (
        (mine.integers, its.integers),
        (mine.weight_scales, its.weight_scales),
        (mine.floats, its.floats),
    ):
        assert [name for name in named if not named[name].equal(others[name])] == []


def test_two_processes_make_the_model_of_one(alone: Path, tmp_path: Path) -> None:
    train(tmp_path, 2, torchrun=True)
    assert_same(tmp_path / "0.pt2", tmp_path / "1.pt2")
    assert_same(tmp_path / "0.pt2", alone)
    facts = load_form(tmp_path / "0.pt2").settings.training
    assert facts is not None
    assert facts.processes == 2


def test_two_processes_go_on_with_what_one_began(alone: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    train(tmp_path, 1, check=False, STATE=str(state), STEPS="2")
    assert state.exists()
    assert not (tmp_path / "0.pt2").exists()
    train(tmp_path, 2, STATE=str(state))
    assert_same(tmp_path / "0.pt2", alone)
    assert_same(tmp_path / "1.pt2", alone)


def test_all_processes_refuse_a_state_that_the_first_refuses(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"damage")
    done = train(tmp_path, 2, check=False, STATE=str(state))
    assert done.returncode
    assert done.stderr.count("is a damaged safetensors file") >= 1
    assert not list(tmp_path.glob("*.pt2"))


def test_a_process_by_itself_is_a_team_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group() as alone:
        assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
        assert alone.by_first(lambda: 3) == 3
        values = torch.tensor([1.0, 2.0])
        assert alone.sum(values) is values


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="RANK"), process_group():
        pass
