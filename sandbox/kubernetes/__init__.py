"""The embedded Kubernetes API server: it refuses what the real one refuses, in its words."""
