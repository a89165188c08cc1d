"""Mutation testing: change the program a little, and see whether a fast test fails."""
