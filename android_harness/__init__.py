"""The sources of the native programs, in `runner`, which come along with the package: they are built where they run."""
