"""What torch does by itself, at less expense: exports and passes in fewer steps, and memory that is kept."""
