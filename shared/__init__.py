"""The library that the functions and the command share; its layers import one way, downwards."""
