"""Export a program of torch.export to ONNX; for the environment that has onnx and onnxscript beside torch.

python onnx_export.py PROGRAM.pt2 MODEL.onnx
"""

from __future__ import annotations

import sys

import torch

OPSET = 20
"""The first with GELU as one operator."""


def main() -> None:
    source, model = sys.argv[1:]
    torch.onnx.export(
        torch.export.load(source),
        (),
        model,
        input_names=["clip"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


if __name__ == "__main__":
    main()
