"""Core ML packages, by Core ML itself on macOS and by our executor elsewhere."""
