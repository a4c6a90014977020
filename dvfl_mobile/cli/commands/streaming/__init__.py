"""Commands about a camera that never ends."""
