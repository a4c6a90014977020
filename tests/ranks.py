"""Trainings in processes of their own: started by torchrun, or forked warm and given the same variables."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests import warm

_S = 300


class Ended(NamedTuple):
    """How a training ended: the first exit code that isn't 0, if any, and what its processes said on stderr."""

    returncode: int
    stderr: str


def run(program: Path, folder: Path, processes: int, environment: Mapping[str, str], *, torchrun: bool) -> Ended:
    """Run a Python file with `folder` for its argument.

    Args:
        torchrun: have it start them, as a user does; it and each process import torch, which takes most of the time.
    """
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    variables = {**clean, "CUDA_VISIBLE_DEVICES": "", **environment}
    if torchrun or sys.platform != "linux":
        return _by_torchrun(program, folder, processes, variables)
    ranks: list[dict[str, str]] = [{}]
    if processes > 1:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
        ranks = [{**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    log = folder / "said.log"
    log.unlink(missing_ok=True)
    started = [warm.started([program, folder], variables | rank, log) for rank in ranks]
    try:
        codes = [process.wait(_S) for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return Ended(next((code for code in codes if code), 0), log.read_text())


def _by_torchrun(program: Path, folder: Path, processes: int, environment: Mapping[str, str]) -> Ended:
    command = [sys.executable, "-W", "ignore"]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*command, str(program), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_S,
    )
    return Ended(done.returncode, done.stderr)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
