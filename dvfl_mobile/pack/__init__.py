"""The conformance pack: golden videos with what every stage must make of them, and the judge of what an app made.

`build.py` makes a pack, `contents.py` is its `pack.json`, `archive.py` its zip. `results.py` reads what an app wrote,
`judge.py` goes through it stage by stage, and `causes.py` says what a deviation looks like. `templates/` holds what
an app team drops into its tests.
"""
