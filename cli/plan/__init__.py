"""The command `prestream plan`."""
