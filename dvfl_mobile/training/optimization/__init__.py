"""One optimization step: losses, gradient accumulation, schedule, optimizer, precision."""
