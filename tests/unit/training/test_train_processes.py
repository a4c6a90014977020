"""Training by several processes, and real kills: the same network as by one process that nothing happened to."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests import ranks
from tests.training import QUICK, farthest, same

# Eleven clips, five in a step, two at once: shares of unequal size, and one process without any in a step of one piece.
# `STEPS`: after how many steps of this run the first process is killed, if at all.
_TRAINS = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
import torch
torch.set_num_threads(1)
from safetensors.torch import save_file
from dvfl_mobile.training import state
from tests import training as t

state._SAVE_EVERY_S = 0.0
folder = Path(sys.argv[1])
rank = os.environ.get("RANK", "0")
steps = os.environ.get("STEPS")
step = t.killed_after(int(steps), on=lambda: os.kill(os.getpid(), signal.SIGKILL)) if steps and rank == "0" else None
outcome = t.trained(t.distilling(t.QUICK), folder, step)
assert not torch.distributed.is_initialized()
save_file(outcome.weights, folder / f"{{rank}}.safetensors")
(folder / f"{{rank}}.score").write_text(str((outcome.best_epoch, outcome.best)))
"""


def train(folder: Path, processes: int, check: bool = True, torchrun: bool = False, **environment: str) -> ranks.Ended:
    """Train in new processes; each writes the weights that it got to `folder/RANK.safetensors`."""
    folder.mkdir(exist_ok=True)
    program = folder / "trains.py"
    program.write_text(_TRAINS.format(root=str(Path(__file__).parents[3])))
    ended = ranks.run(program, folder, processes, environment, torchrun=torchrun)
    assert not check or ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 1, torchrun=True)
    return folder


def test_two_processes_make_the_network_of_one(alone: Path, tmp_path: Path) -> None:
    assert QUICK.augmentation.is_mixing
    assert QUICK.drop_path
    train(tmp_path, 2, torchrun=True)
    weights = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    assert same(*weights)
    # Each piece's gradients are the same wherever they are computed, and summed in double precision.
    assert farthest(weights[0], load_file(alone / "0.safetensors")) <= 1e-6
    scores = {(folder / f"{rank}.score").read_text() for folder, rank in ((tmp_path, 0), (tmp_path, 1), (alone, 0))}
    assert len({score.partition("loss")[0] for score in scores}) == 1


def test_two_processes_go_on_with_what_one_began(alone: Path, tmp_path: Path) -> None:
    killed = train(tmp_path, 1, check=False, STEPS="3")
    assert killed.returncode == -9
    assert (tmp_path / "state.safetensors").exists()
    train(tmp_path, 2)
    assert farthest(load_file(tmp_path / "1.safetensors"), load_file(alone / "0.safetensors")) <= 1e-6


def test_a_process_killed_for_real_again_and_again_ends_with_the_same_network(alone: Path, tmp_path: Path) -> None:
    for steps in ("1", "3"):
        assert train(tmp_path, 1, check=False, STEPS=steps).returncode == -9
    train(tmp_path, 1)
    assert same(load_file(tmp_path / "0.safetensors"), load_file(alone / "0.safetensors"))
