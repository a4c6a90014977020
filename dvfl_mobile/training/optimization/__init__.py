"""Optimization: schedule, losses, gradient accumulation, optimizer, precision, and the step that joins them."""
