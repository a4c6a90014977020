"""Accuracy on labelled videos: of a checkpoint, and of an artifact beside it."""
