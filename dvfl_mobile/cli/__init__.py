"""The command line: `main.py` holds the table of commands; `commands/` has a module for each."""
