"""Cold start and memory of the functions, as ratios to a function that does nothing."""
