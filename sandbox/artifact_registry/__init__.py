"""Artifact Registry: its REST API, and the registry API of its hosts."""
