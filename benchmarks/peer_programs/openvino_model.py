"""Convert an ONNX model to OpenVINO, or quantize it to int8 by NNCF; for their environment.

    python openvino_model.py MODEL.onnx MODEL.xml [CLIPS.npy]

With clips, NNCF's post-training quantization, by its settings for transformers.
"""

from __future__ import annotations

import sys

import numpy as np
import openvino


def main() -> None:
    source, converted, *clips = sys.argv[1:]
    model = openvino.convert_model(source)
    if clips:
        import nncf

        seen = np.load(clips[0])
        model = nncf.quantize(
            model, nncf.Dataset(list(seen)), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(seen)
        )
    # Weights stay float32 where the model is.
    openvino.save_model(model, converted, compress_to_fp16=False)


if __name__ == "__main__":
    main()
