"""Judge an app's results on a conformance pack."""
