"""Artifact Registry pushes: publish a reference to the image that was pushed."""
