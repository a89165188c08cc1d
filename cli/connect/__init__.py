"""Connections to clusters and services, for commands."""
