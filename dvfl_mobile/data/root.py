"""The variable that names the data folder; apart from `datasets`, so that `doctor` reads it without numpy."""

from __future__ import annotations

DATA_VARIABLE = "DVFL_MOBILE_DATA"
