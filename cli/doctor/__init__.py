"""The command `prestream doctor`."""
