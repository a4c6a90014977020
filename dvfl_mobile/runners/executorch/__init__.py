"""ExecuTorch runners."""
