"""The commands `prestream status`, `wait` and `warm`."""
