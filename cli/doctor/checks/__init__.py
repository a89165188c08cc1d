"""The checks of `prestream doctor`."""
