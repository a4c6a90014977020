"""Qualcomm's emulator of Hexagon, by ONNX Runtime."""
