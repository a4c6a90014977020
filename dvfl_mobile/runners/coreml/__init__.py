"""Core ML runners: Core ML itself on macOS, the executor in `mil` elsewhere."""
