"""From clips to a camera that never ends: when to answer, how to smooth, and when to say nothing."""
