"""C and C++ sources of the native programs, in `runner`, shipped with the package and built where they run."""
