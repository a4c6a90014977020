"""Artifacts: a converted model's files with their manifest."""
