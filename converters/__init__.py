"""Converters: one for each target, from a model to its file."""
