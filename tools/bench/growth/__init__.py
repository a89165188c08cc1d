"""Cost, memory and time against size: curves, and where they bend."""
