"""The command line: `main.py` holds the table of commands, each command has a short file of its own."""
