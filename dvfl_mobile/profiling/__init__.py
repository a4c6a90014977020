"""Profiling: an artifact's latency on a device, with its uncertainty and a check of the timed output."""
