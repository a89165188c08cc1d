"""Upstream registries of Artifact Registry, their images and their behaviour."""
