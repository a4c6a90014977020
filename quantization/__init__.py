"""Quantization: calibration, the quantized graph and form, mixed precision, and quantization-aware training."""
