"""What reports are rendered to: terminal, Markdown, JUnit, plots, annotations."""
