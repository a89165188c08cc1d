"""The schedule: keep warm what is in use, and heal what a lost event left behind."""
