"""Profiles rendered: terminal, HTML, plots, history."""
