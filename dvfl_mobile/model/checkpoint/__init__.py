"""Checkpoints from anywhere, opened without running anything in them."""
