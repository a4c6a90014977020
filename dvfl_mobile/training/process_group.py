"""The process group of a distributed training: its rank and size, and the collectives that training uses.

Processes are started by torchrun. Without it, a process is a group of one, and every collective does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dvfl_mobile.errors import DvflMobileError, UsageError
from dvfl_mobile.spelling import option

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training, seen from one of them.

    Attributes:
        rank: this process, from 0.
        count: of processes.
        device: that this process computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """`values`, in place, summed over all processes."""
        if self.count > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM)
        return values

    def least(self, values: Tensor) -> Tensor:
        """`values`, in place, the least of all processes."""
        if self.count > 1:
            dist.all_reduce(values, dist.ReduceOp.MIN)
        return values

    def take_from_first(self, values: Tensor) -> None:
        """Fill `values` with those of the first process."""
        if self.count > 1:
            there = values.to(self.device)  # NCCL carries what is on its devices, and nothing else
            dist.broadcast(there, src=0)
            values.copy_(there)

    def all_of(self, value: _Result) -> list[_Result]:
        """Every process's `value`, in the order of the processes."""
        given: list[Any] = [None] * self.count
        if self.count == 1:
            return [value]
        dist.all_gather_object(given, value)
        return given

    def by_first(self, action: Callable[[], _Result]) -> _Result:
        """What `action` gives in the first process, in all; where it fails there, all fail."""
        outcome: list[Any] = [None, None]
        failure: DvflMobileError | None = None
        if self.is_first:
            try:
                outcome[0] = action()
            except DvflMobileError as error:
                failure, outcome[1] = error, (error.problem, error.hint)
        if self.count > 1:
            dist.broadcast_object_list(outcome, src=0)
        if failure is not None:
            raise failure
        if outcome[1] is not None:
            problem, hint = outcome[1]
            raise DvflMobileError(problem, hint=hint)
        return outcome[0]

    def check_same(self, fingerprint: str) -> None:
        """Refuse to train together where processes were given different things.

        Raises:
            UsageError: they were.
        """
        if len(set(self.all_of(fingerprint))) > 1:
            raise UsageError(
                "The processes were given different models, clips or settings, or compute in different precisions.",
                hint=f"Start the same command everywhere, on the same files, with {option('precision', 'float32')} or "
                "bfloat16.",
            )


def is_first_process() -> bool:
    """Whether this is the process that writes and shows progress; the only one, without torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


def process_count() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, by its environment: over NCCL with CUDA devices, else over gloo.

    A process group that is there already is joined as it is, and left as it is.

    Raises:
        UsageError: the environment isn't whole, or there are fewer CUDA devices than processes.
    """
    if dist.is_available() and dist.is_initialized():
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), _device())
        return
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ProcessGroup(0, 1, _device())
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not dist.is_available():
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but "
            + (f"{', '.join(missing)} isn't set." if missing else "this torch has no torch.distributed."),
            hint="Start it with torchrun, or unset WORLD_SIZE.",
        )
    device = _device()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"Process {index} of this machine has no CUDA device: there are {torch.cuda.device_count()}.",
            hint="Start one process a device, or hide the devices with CUDA_VISIBLE_DEVICES= to train on processors.",
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
