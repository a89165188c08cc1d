"""The rules that schemas do not say."""
