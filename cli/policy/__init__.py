"""The command `prestream policy`."""
