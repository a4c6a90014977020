"""The native programs that devices run: building, bundling, starting them, and their protocol."""
