"""``python -m cli`` is the prestream command; the environment is read here, and nowhere else."""

import os

from cli.app import app


def main() -> None:
    """Run the command."""
    app(prog_name="prestream", obj=dict(os.environ))  # noqa: TID251  # this is the entry point


if __name__ == "__main__":
    main()
