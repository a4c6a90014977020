"""What stays float: sensitivity by unit, and the choice."""
