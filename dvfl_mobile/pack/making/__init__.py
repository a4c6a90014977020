"""Make a conformance pack."""
