"""Entry points: one package per deployed function, none imports another."""
