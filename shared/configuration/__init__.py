"""How the configuration file is read: its YAML, the kinds of its values, every problem at once."""
