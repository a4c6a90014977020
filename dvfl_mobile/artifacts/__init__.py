"""Artifacts: the files that a phone runs, each with its manifest."""
