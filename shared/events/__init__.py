"""What arrives, parsed once into frozen values; a parser raises InvalidEventError for poison."""
