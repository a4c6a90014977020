"""Count the Arm instructions that a model executes: a plugin of qemu's, and the native programs under it."""
