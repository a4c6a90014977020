"""A deploy rendered: its tables for terminal, Markdown and JUnit XML, one page, and a model card."""
