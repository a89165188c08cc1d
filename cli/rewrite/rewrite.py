"""
prestream rewrite: replace images in manifests by their mirrors, before they are applied.

For clusters whose API server cannot rewrite pods, or for mirrors that files should name.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from cli.connect.configuration import (
    LocationOption,
    ProjectOption,
    configured_mirrors,
    pick_location,
    read_settings,
)
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.input.yaml_documents import DocumentError
from cli.rewrite.custom_resources import add_paths
from cli.rewrite.found_image import Rules
from cli.rewrite.name_matches import NameIndex
from cli.rewrite.rewritten_files import RewrittenFile, join_files, report, rewrite_text
from cli.terminal import make_side_console
from shared.domain.proven_mirrors import PullSecrets

STANDARD_INPUT = "-"

_MANY = 20
"""Files that may take longer than a second together."""


def rewrite(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...|-", help="YAML or JSON files; - for standard input."),
    ],
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing; print a diff, and exit with 1 if any image should change.",
        ),
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write the files instead of printing them.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result for each image, as JSON.")
    ] = False,
    pull_secrets: Annotated[
        PullSecrets,
        typer.Option(help="Skip pods with imagePullSecrets, or ignore that they have some."),
    ] = "skip",
    project: ProjectOption = None,
    location: LocationOption = None,
) -> None:
    """Replace images in Kubernetes manifests by their mirrors, and change nothing else."""
    if check and in_place:
        fail(ExitCode.MISUSED, "--check and --in-place exclude each other")
    if in_place and STANDARD_INPUT in files:
        fail(ExitCode.MISUSED, "--in-place cannot write standard input")
    settings = read_settings(context.obj, project)
    proofs = configured_mirrors(settings, pick_location(settings, location))
    rules = Rules(proofs, pull_secrets, add_paths(settings.image_paths))
    rewritten = list(_rewrite_files(files, rules))
    _tell(rewritten)
    if in_place:
        _write_changed(rewritten)
    if as_json:
        typer.echo(json.dumps(report(rewritten), indent=2))
    elif check:
        typer.echo("".join(each.diff() for each in rewritten).encode(), nl=False)
    elif not in_place:
        typer.echo(join_files(rewritten).encode(), nl=False)
    if check and any(each.is_changed or each.is_pending for each in rewritten):
        raise typer.Exit(ExitCode.DIFFERENT)


rewrite.__doc__ = f"{rewrite.__doc__}\n\n{EXIT_CODES}"


def _rewrite_files(names: Sequence[str], rules: Rules) -> Iterator[RewrittenFile]:
    index = NameIndex()
    console = make_side_console()
    is_quick = len(names) < _MANY or not console.is_terminal
    for name in track(names, "Rewriting", console=console, transient=True, disable=is_quick):
        text = _read(name)
        label = "standard input" if name == STANDARD_INPUT else name
        try:
            if name == STANDARD_INPUT:
                # A rendered text: no tool replaces its images any more.
                yield rewrite_text(text, label, rules)
            else:
                yield rewrite_text(text, label, rules, partial(index.find, Path(name)))
        except DocumentError as exc:
            where = f"{label}:{exc.line}" if exc.line else label
            fail(ExitCode.UNREADABLE, f"{where}: neither YAML nor JSON: {exc}")
    if not index.is_complete:
        say("note: too many folders to search all for kustomizations that match images by name")


def _read(name: str) -> str:
    try:
        if name == STANDARD_INPUT:
            data = typer.get_binary_stream("stdin").read()
        else:
            data = Path(name).read_bytes()
    except OSError as exc:
        fail(ExitCode.UNREADABLE, f"{name}: {exc.strerror}")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        fail(ExitCode.UNREADABLE, f"{name}:{line}: not UTF-8: {data[exc.start : exc.end]!r}")


def _write_changed(files: Sequence[RewrittenFile]) -> None:
    """Write the files that were changed, each whole or not at all."""
    for file in files:
        if not file.is_changed:
            continue
        path = Path(file.name).resolve()
        draft = path.with_name(f".{path.name}.prestream")
        try:
            draft.write_bytes(file.after.encode())
            draft.chmod(path.stat().st_mode)
            draft.replace(path)
        except OSError as exc:
            with contextlib.suppress(OSError):
                draft.unlink()
            fail(ExitCode.UNREADABLE, f"{file.name}: {exc.strerror}")


def _tell(files: Sequence[RewrittenFile]) -> None:
    for file in files:
        for each in file.found:
            if each.remark:
                say(f"{file.name}:{each.place.line}: left {each.place.value!r}: {each.remark}")
