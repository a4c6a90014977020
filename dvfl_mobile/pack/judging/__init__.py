"""Judging what an app made of a conformance pack."""
