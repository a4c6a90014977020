"""Making a conformance pack."""
