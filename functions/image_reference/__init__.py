"""Image references: create the mirror, and create the warmup Job."""
