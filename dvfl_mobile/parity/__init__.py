"""Parity: an artifact against the reference form, on the same clips."""
