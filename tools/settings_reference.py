"""
Write the JSON Schema of the configuration file and the tables of its keys.

Both are made of the settings themselves, so that they cannot say anything else than the code.
``python -m tools.settings_reference`` writes them into ``docs/``, and the defaults into the
Terraform module that reads the same keys.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from shared.settings.keys import NOT_IN_FILE, Settings
from shared.settings.reader import unwrap
from shared.settings.value_type import FORMS, PlacementForm, TolerationForm, UpstreamForm

ROOT = Path(__file__).resolve().parent.parent
SCHEMA_FILE = ROOT / "docs" / "prestream.schema.json"
PAGE_FILE = ROOT / "docs" / "configuration.md"
DEFAULTS_FILE = ROOT / "infra/modules/prestream/modules/settings/defaults.json"

_MAX_SHOWN = 4
"""Items of a default that fit into a table."""

_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "keys": Settings,
    "upstreams": UpstreamForm,
    "targets": PlacementForm,
    "tolerations": TolerationForm,
}
"""Tables of the page, by the marker before each."""


def json_schema() -> dict[str, Any]:
    """
    Return the JSON Schema of the configuration file, for editors.

    It refuses nothing that the settings accept. Beyond it they check what a schema cannot say:
    the grammar of ``helper_image``, and rules over several upstreams.
    """
    kinds = _list_kinds(Settings)
    schemas, definitions = msgspec.json.schema_components(
        [*kinds.values(), *FORMS.values()], ref_template="#/$defs/{name}"
    )
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Prestream",
        "type": ["object", "null"],
        "properties": dict(zip(kinds, schemas, strict=False)),
        "additionalProperties": False,
        "$defs": _define_forms(definitions),
    }
    _describe_properties(schema["properties"], Settings)
    for each in _walk(schema):
        if each.get("type") == "array":
            each["uniqueItems"] = True
    return schema


def key_table(kind: type[msgspec.Struct]) -> str:
    """Return the table of a struct's keys, in Markdown."""
    sentences, defaults = _list_sentences(kind), _list_defaults(kind)
    rows = ["| key | default | meaning | allowed |", "|---|---|---|---|"]
    for name, annotation in _list_kinds(kind).items():
        default = _show(defaults[name]) if name in defaults else ""
        rows.append(f"| `{name}` | {default} | {sentences[name]} | {_find_words(annotation)} |")
    return "\n".join(rows)


def fill_tables(page: str) -> str:
    """Return the page with the table between each pair of marks made anew."""
    for mark, kind in _TABLES.items():
        begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = f"{before}{begin}\n{key_table(kind)}\n\n{end}{after}"
    return page


def format_schema() -> str:
    """Return the text of the schema's file."""
    return json.dumps(json_schema(), indent=2) + "\n"


def format_defaults() -> str:
    """Return the text of the file with each key's default, null where it has none."""
    defaults = _list_defaults(Settings)
    return json.dumps({name: defaults.get(name) for name in _list_kinds(Settings)}, indent=2) + "\n"


def _define_forms(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definitions, with the forms of the file in the place of the domain's values."""
    forms = {name: each for name, each in definitions.items() if name.endswith("Form")}
    for kind in (UpstreamForm, PlacementForm, TolerationForm):
        _describe_properties(forms[kind.__name__]["properties"], kind)
    forms["UpstreamForm"]["dependentRequired"] = {
        "username": ["password_secret_version"],
        "password_secret_version": ["username", "paths"],
    }
    values = {
        value.__name__: {"anyOf": [{"$ref": f"#/$defs/{form.__name__}"}, {"type": "null"}]}
        for value, form in FORMS.items()
    }
    return forms | values


def _describe_properties(properties: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    sentences, defaults = _list_sentences(kind), _list_defaults(kind)
    for name, each in properties.items():
        each["description"] = sentences[name]
        if name in defaults:
            each["default"] = defaults[name]


def _list_kinds(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in NOT_IN_FILE}


def _list_defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the defaults of a struct's fields as the file would hold them."""
    return {
        each.name: _as_file_value(each.default)
        for each in msgspec.structs.fields(kind)
        if each.default is not msgspec.NODEFAULT and each.default is not None
    }


def _as_file_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict.fromkeys(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _list_sentences(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the text under each field, which Python itself does not keep."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    sentences = {}
    for field, text in pairwise(ast.iter_child_nodes(body)):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(sentence))),
            ):
                sentences[name] = " ".join(sentence.split())
            case _:
                pass
    return sentences


def _find_words(annotation: Any) -> str:
    """Return the words for what is allowed; of an optional key, those of what it may hold."""
    inner, words = unwrap(annotation)
    return words or next((found for each in get_args(inner) if (found := unwrap(each)[1])), "")


def _walk(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and every schema in it."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from _walk(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _walk(each)


def _show(value: Any) -> str:
    """Return a default as a person writes it."""
    if isinstance(value, list | dict) and len(value) > _MAX_SHOWN:
        return f"the {len(value)} that `prestream.yaml` lists"
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def main() -> None:
    """Write the schema, the tables and the defaults."""
    DEFAULTS_FILE.write_text(format_defaults(), encoding="utf-8")
    SCHEMA_FILE.write_text(format_schema(), encoding="utf-8")
    PAGE_FILE.write_text(fill_tables(PAGE_FILE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
