"""prestream policy: the policy that lets the API server rewrite pods, and its parameter."""

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml

from cli.exits import EXIT_CODES

FOLDER = Path(__file__).resolve().parent.parent / "infra" / "kubernetes" / "rewriting"
FILES = ("policy.yaml", "proven-mirrors.yaml")


def policy(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one List, as JSON.")] = False,
) -> None:
    """
    Print the policy, its binding and its parameter, for kubectl apply.

    They rewrite the images of new pods to mirrors that are proven, in namespaces with the label
    prestream.dev/rewrite=enabled, and need Kubernetes 1.36 or newer. With an older one, use
    prestream rewrite.
    """
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in FILES]
    if not as_json:
        typer.echo("---\n".join(texts), nl=False)
        return
    items = [body for text in texts for body in yaml.safe_load_all(text)]
    typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


policy.__doc__ = f"{policy.__doc__}\n\n{EXIT_CODES}"
