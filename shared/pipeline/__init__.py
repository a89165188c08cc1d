"""The steps of the functions; no vendor is known here."""
