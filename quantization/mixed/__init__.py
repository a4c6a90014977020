"""Mixed precision: sensitivity by unit, and the choice of what stays float."""
