"""``python -m cli`` is the prestream command; the environment is read here, and nowhere else."""

import os

from cli.app import app


def main(name: str = "prestream") -> None:
    """Run the command, which is called ``name`` in its help."""
    app(prog_name=name, obj=dict(os.environ))  # noqa: TID251  # this is the entry point


if __name__ == "__main__":
    main()
