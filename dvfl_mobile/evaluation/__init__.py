"""Evaluation: accuracy on labelled videos, of a checkpoint or of an artifact beside it."""
