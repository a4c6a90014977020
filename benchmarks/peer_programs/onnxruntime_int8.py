"""Quantize an ONNX model statically to int8, as ONNX Runtime's guide says; for its environment.

    python onnxruntime_int8.py MODEL.onnx CLIPS.npy QUANTIZED.onnx

QDQ format, int8 activations by their least and greatest values, int8 weights by channel, after its own preprocessing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Clips(CalibrationDataReader):  # type: ignore[misc]
    """Clips, one by one."""

    def __init__(self, clips: np.ndarray) -> None:
        self._left = iter(clips)

    def get_next(self) -> dict[str, np.ndarray] | None:
        clip = next(self._left, None)
        return None if clip is None else {"clip": clip}


def main() -> None:
    model, clips, quantized = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(model, prepared, skip_symbolic_shape=True)  # no shape is unknown
        quantize_static(
            prepared,
            quantized,
            Clips(np.load(clips)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


if __name__ == "__main__":
    main()
