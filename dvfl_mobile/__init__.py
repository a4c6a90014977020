"""Take a DVFL-Net video action recognizer from a checkpoint to a phone: convert, check against PyTorch, ship.

The public API is what `__all__` names. Each name is imported when it is first used, so that
`import dvfl_mobile` costs nothing and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvfl_mobile.clips import ClipSpec as ClipSpec
    from dvfl_mobile.errors import DvflMobileError as DvflMobileError
    from dvfl_mobile.model.architecture import Architecture as Architecture
    from dvfl_mobile.model.network import VideoFocalNet as VideoFocalNet

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "dvfl_mobile.model.architecture",
    "ClipSpec": "dvfl_mobile.clips",
    "DvflMobileError": "dvfl_mobile.errors",
    "VideoFocalNet": "dvfl_mobile.model.network",
}

__all__ = ["Architecture", "ClipSpec", "DvflMobileError", "VideoFocalNet"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
