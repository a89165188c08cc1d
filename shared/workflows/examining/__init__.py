"""Checks of what streaming and the pipeline need: pure functions over what was read."""
