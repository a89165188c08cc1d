"""Patches of the four kinds, as pure functions from an object to the object that it becomes."""
