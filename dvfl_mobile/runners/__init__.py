"""Runners: each runs an artifact by its runtime, and returns logits and times."""
