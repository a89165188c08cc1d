"""Audit log entries of GKE: publish a reference to each image that a workload asks for."""
