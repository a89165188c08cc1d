"""Fuzz one target: ``python -m tools.fuzz.engine TARGET`` and then libFuzzer's own arguments."""

import sys

import atheris

with atheris.instrument_imports(include=["shared", "cli"]):
    from tools.fuzz.fuzz_target import TARGETS


def main() -> None:
    """Run until libFuzzer's limits, or until a finding."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
