"""Validation during training: top-1, top-5 and loss on held-out videos, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dvfl_mobile.data.clips import SINGLE_VIEW, ClipSpec
from dvfl_mobile.data.videos import VideoRef, read_video
from dvfl_mobile.training.process_group import ProcessGroup

_TOP = 5
_KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Score:
    """Counts over all processes; the same in each."""

    videos: int
    right: int
    right_in_five: int
    loss: float


class TestClips(Protocol):
    """What validation asks of its data."""

    def __len__(self) -> int:
        """How many videos there are."""

    def clip(self, index: int) -> tuple[NDArray[np.uint8], int] | None:
        """Pixels `(T,3,S,S)` and label; None where it can't be read."""

    @property
    def names(self) -> list[str]:
        """What identifies the videos and their labels, in order."""


class VideoClips:
    """The official single view of labelled videos; kept in memory as far as there is room, read anew beyond that."""

    def __init__(self, refs: Sequence[VideoRef], spec: ClipSpec) -> None:
        self._refs = [ref for ref in refs if ref.label is not None]
        self._spec = spec
        self._kept: dict[int, NDArray[np.uint8] | None] = {}
        self._most = _KEPT_BYTES // int(np.prod(spec.shape))

    def __len__(self) -> int:
        return len(self._refs)

    @property
    def names(self) -> list[str]:
        return [f"{ref.name or ref.path.name} {ref.label}" for ref in self._refs]

    def clip(self, index: int) -> tuple[NDArray[np.uint8], int] | None:
        pixels = self._kept[index] if index in self._kept else self._read(index)
        label = self._refs[index].label
        return None if pixels is None or label is None else (pixels, label)

    def _read(self, index: int) -> NDArray[np.uint8] | None:
        # A video that can't be read counts neither way: it is missing in the number of videos.
        clips = read_video(self._refs[index], self._spec, [SINGLE_VIEW]).clips
        pixels = clips[0].pixels if clips else None
        if len(self._kept) < self._most:
            self._kept[index] = pixels
        return pixels


def count_right(
    logits_of: Callable[[Tensor], Tensor],
    clips: TestClips,
    processes: ProcessGroup,
    at_once: int,
    advance: Callable[[], None],
) -> Score:
    """Count the videos that a network gets right; each process takes every n-th one.

    Args:
        logits_of: raw pixels `(B,T,3,S,S)`, floats, to logits `(B,K)`.
    """
    sums = torch.zeros(4, dtype=torch.float64, device=processes.device)
    mine = range(processes.rank, len(clips), processes.count)
    for start in range(0, len(mine), at_once):
        read = [found for index in mine[start : start + at_once] if (found := clips.clip(index)) is not None]
        if read:
            pixels = torch.from_numpy(np.stack([of_clip for of_clip, _ in read])).to(processes.device)
            labels = torch.tensor([label for _, label in read], device=processes.device)
            sums += _counted(logits_of(pixels.float()).float(), labels)
        for _ in mine[start : start + at_once]:
            advance()
    videos, right, right_in_five, loss = processes.sum(sums).tolist()
    return Score(int(videos), int(right), int(right_in_five), loss / max(videos, 1))


def _counted(logits: Tensor, labels: Tensor) -> Tensor:
    ranked = logits.topk(min(_TOP, logits.shape[1]), dim=-1).indices == labels[:, None]
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    figures = [len(labels), int(ranked[:, 0].sum()), int(ranked.any(-1).sum()), float(loss)]
    return torch.tensor(figures, dtype=torch.float64, device=logits.device)
