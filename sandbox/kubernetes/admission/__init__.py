"""Admission: what is changed in objects, or refused, after their decoding."""
