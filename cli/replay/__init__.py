"""The command `prestream replay`."""
