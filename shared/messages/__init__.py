"""Messages as they arrive, parsed into values."""
