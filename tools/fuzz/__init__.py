"""Coverage-guided fuzzing of the parsers, and the corpus that it found."""
