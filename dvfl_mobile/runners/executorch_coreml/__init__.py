"""ExecuTorch programs whose work is done by Core ML, and the package that lies in each."""
