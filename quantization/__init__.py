"""Quantization: calibration, quantization-aware training, and mixed precision."""
