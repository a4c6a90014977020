"""The native programs that run on devices: how they are built, bundled and started, and their protocol."""
