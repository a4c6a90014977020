"""`python -m dvfl_mobile` runs the same as `dvfl-mobile`."""

from __future__ import annotations

from dvfl_mobile.cli.main import main

if __name__ == "__main__":
    main()
