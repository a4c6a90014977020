"""The variable that names the folder of data sets; apart from `datasets`, so that `doctor` can ask without numpy."""

from __future__ import annotations

DATA_VARIABLE = "DVFL_MOBILE_DATA"
