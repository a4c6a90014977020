"""Convert an ONNX model to MNN; for its environment.

python mnn_model.py MODEL.onnx MODEL.mnn
"""

from __future__ import annotations

import sys

import _tools  # the converter of MNN's wheel


def main() -> None:
    source, converted = sys.argv[1:]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", converted])


if __name__ == "__main__":
    main()
