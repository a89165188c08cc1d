"""Cold start and memory of the functions against one that does nothing, and the report's rate."""
