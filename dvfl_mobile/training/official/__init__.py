"""The official repositories' configurations and checkpoints."""
