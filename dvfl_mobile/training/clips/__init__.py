"""Training clips: sources, augmentation, mixing, loading."""
