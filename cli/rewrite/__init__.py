"""The command `prestream rewrite`."""
