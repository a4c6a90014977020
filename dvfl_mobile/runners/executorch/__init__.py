"""ExecuTorch programs, by its own runtime."""
