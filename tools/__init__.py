"""Tools for developers: archives, benchmarks, fuzzing, audits."""
