"""The scheduled sweep of one cluster."""
