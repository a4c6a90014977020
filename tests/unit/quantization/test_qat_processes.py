"""Quantization-aware training by several processes: the same model as by one with the same global batch."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.quantization.graph.stored import save_form
from dvfl_mobile.training.process_group import process_group
from tests import ranks
from tests.checkpoints import TWO_STAGES
from tests.quantized import facts
from tests.threads import threads

# Five clips in batches of three: both processes have a share of unequal size, and in each epoch's last batch too.
# `START` is the form to begin with, `STATE` where to keep the state, `STEPS` after how many steps the first process is
# killed, if at all.
_TRAINS = """
import logging, os, pickle, sys
from contextlib import contextmanager
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
logging.disable()
from dvfl_mobile.quantization.qat import train as qat
from dvfl_mobile.quantization.graph import stored
from dvfl_mobile.quantization.settings import QatSettings
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.training import state as training_state

training_state._SAVE_EVERY_S = 0.0
start = stored.load_form(Path(os.environ["START"]))
clips = np.stack([clip.pixels for clip in moving_shapes(start.clip, 5)])
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
trained = (form.settings, form.integers, form.weight_scales, form.floats)
(Path(sys.argv[1]) / f"{name}.pickle").write_bytes(pickle.dumps(trained))
"""


def train(folder: Path, processes: int, check: bool = True, torchrun: bool = False, **environment: str) -> ranks.Ended:
    """Train in new processes; each writes what its form holds to `folder/RANK.pickle`."""
    folder.mkdir(exist_ok=True)
    program = folder / "trains.py"
    program.write_text(_TRAINS)
    ended = ranks.run(program, folder, processes, environment, torchrun=torchrun)
    assert not check or ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(scope="module", autouse=True)
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What all begin with, quantized once."""
    path = tmp_path_factory.mktemp("start") / "start.pt2"
    student = seeded_student(TWO_STAGES)
    clips = np.stack([clip.pixels for clip in moving_shapes(student.clip, 2)])
    with threads(1):
        save_form(ptq.quantize(student, "static_wi8_ai8", clips, facts(clips, "minmax")), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("START", str(path))
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 1)
    return folder / "0.pickle"


def settings_of(path: Path) -> Any:
    return pickle.loads(path.read_bytes())[0]


def assert_same(one: Path, other: Path) -> None:
    """Equal to the bit.

    Each clip's gradients are the same in whatever process, and sums of a few float32 numbers in double precision are
    exact unless they differ in size by 2²⁶ or more: their order doesn't show. Ranges are least and greatest values.
    """
    (mine, *my_tensors), (its, *its_tensors) = (pickle.loads(path.read_bytes()) for path in (one, other))
    assert mine.scales == its.scales
    for named, others in zip(my_tensors, its_tensors, strict=True):
        assert named
        assert named.keys() == others.keys()
        assert [name for name in named if not named[name].equal(others[name])] == []


def test_two_processes_make_the_model_of_one(alone: Path, tmp_path: Path) -> None:
    train(tmp_path, 2, torchrun=True)
    assert_same(tmp_path / "0.pickle", tmp_path / "1.pickle")
    assert_same(tmp_path / "0.pickle", alone)
    training = settings_of(tmp_path / "0.pickle").training
    assert training is not None
    assert training.processes == 2


def test_two_processes_go_on_with_what_one_began(alone: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    train(tmp_path, 1, check=False, STATE=str(state), STEPS="2")
    assert state.exists()
    assert not (tmp_path / "0.pickle").exists()
    train(tmp_path, 2, STATE=str(state))
    assert_same(tmp_path / "0.pickle", alone)
    assert_same(tmp_path / "1.pickle", alone)


def test_all_processes_refuse_a_state_that_the_first_refuses(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"damage")
    done = train(tmp_path, 2, check=False, STATE=str(state))
    assert done.returncode
    assert done.stderr.count("is a damaged safetensors file") >= 1
    assert not list(tmp_path.glob("*.pickle"))


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
