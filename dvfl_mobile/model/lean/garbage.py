"""Garbage that is looked for seldom: of all the objects that an import or an export makes, few are any.

Reference counts free nearly everything; what is looked for are objects that hold each other. Python looks after every
700 new ones, and among all that there are whenever a quarter of them are new: a fifth of the time of importing
`litert_torch`, a tenth of an export's.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (50_000, 20)
"""After how many new objects the youngest are looked through, and after how many times of that those that stayed."""

FROZEN_BY_PYTHON = 1_000
"""Python 3.12 begins with some hundred objects that garbage isn't looked for in; who has more froze them himself."""


@contextmanager
def looked_for_seldom() -> Iterator[None]:
    """Within the block, garbage is looked for seldom."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM, *before[2:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def not_looked_for_in_what_is_there() -> Iterator[None]:
    """Within the block, garbage is looked for among what is made in it, unless somebody froze objects before."""
    # To count them takes a while where there are many: a block within another doesn't.
    freezes = not _frozen_here and gc.get_freeze_count() < FROZEN_BY_PYTHON
    if freezes:
        gc.freeze()
    _frozen_here.append(freezes)
    try:
        yield
    finally:
        _frozen_here.pop()
        if freezes:
            gc.unfreeze()


_frozen_here: list[bool] = []
"""Of each block that is open, whether it froze what was there."""
