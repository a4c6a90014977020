"""Forward passes of clips: as they should lie in memory, and two at once, each by half of the threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from dvfl_mobile.model.lean.memory import kept_memory

AT_ONCE = 2
"""More would take more memory: a nano's values are some 200 MB a clip."""

Result = TypeVar("Result")


def pixels_of(clip: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """A clip, `(T,3,H,W)` of numpy, for the deploy form: channels last in memory.

    The stem gives what lies as it lies, and all layers after it read and add that: with channels first they would
    gather each token from as many places as it has channels, 6 % of a nano's time.
    """
    return torch.from_numpy(clip).to(dtype, memory_format=torch.channels_last)


def each(
    run: Callable[[Any], Result],
    clips: Iterable[Any],
    advance: Callable[[], None] = lambda: None,
    *,
    in_turn: bool = False,
) -> list[Result]:
    """What `run` gives for each clip, in the order of the clips, without gradients and with memory kept.

    Torch's threads share out each operator, and at its end wait for each other. Where there are two or more, two clips
    are run at once, each by half of them: for what passes of both clips change, `run` holds a lock.

    Args:
        advance: called after each clip.
        in_turn: whether one clip may only begin when the one before has ended.
    """
    threads = torch.get_num_threads()
    at_once = 1 if in_turn else min(AT_ONCE, threads)

    def pass_of(clip: Any) -> Result:
        with torch.no_grad():
            return run(clip)

    results: list[Result] = []

    def take(result: Result) -> None:
        results.append(result)
        advance()

    with kept_memory():
        if at_once == 1:
            for clip in clips:
                take(pass_of(clip))
            return results
        # A thread's number of threads is its own, but what new threads begin with is the last that was set anywhere.
        with ThreadPoolExecutor(at_once, "clips", torch.set_num_threads, (threads // at_once,)) as pool:
            try:
                running: deque[Future[Result]] = deque()
                for clip in clips:
                    running.append(pool.submit(pass_of, clip))
                    if len(running) > at_once:
                        take(running.popleft().result())
                while running:
                    take(running.popleft().result())
            finally:
                pool.shutdown(cancel_futures=True)
                torch.set_num_threads(threads)
    return results
