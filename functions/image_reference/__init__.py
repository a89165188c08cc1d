"""Image references: ensure the mirror, and launch the warmup."""
