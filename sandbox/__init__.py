"""The local cloud of the demo and the integration tests; it knows nothing of the project."""
