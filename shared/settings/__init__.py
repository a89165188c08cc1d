"""The configuration, prestream.yaml: its keys, their defaults and their errors."""
