"""Doctests are collected by an import, which would fix the clock of the tests themselves."""

collect_ignore = ["fixed_clock"]
