"""Post-training quantization: observers, calibration, per-token scaling."""
