"""Reports: documents rendered for terminals, Markdown, JUnit XML, HTML and plots."""
