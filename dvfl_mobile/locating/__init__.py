"""Locate the operator at which an artifact leaves its reference."""
