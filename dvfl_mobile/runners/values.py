"""What every runner takes, gives and knows of itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
Facts = dict[str, str | int | bool | None]
