"""Read untrusted checkpoints without executing anything in them."""
