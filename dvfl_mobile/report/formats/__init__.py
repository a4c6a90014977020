"""Output formats of reports: terminal, Markdown, JUnit XML, plots, annotations."""
