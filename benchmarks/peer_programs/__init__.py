"""The programs that `benchmarks/peers.py` races: how each is made, and the process that runs it."""
