"""The schema, the page and the shipped file describe the settings as they are."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.errors import ConfigurationError
from shared.settings.keys import DEFAULT_FILE, NOT_IN_FILE, Settings, make_settings
from shared.settings.yaml_file import Document, parse_document
from tools.settings_reference import (
    DEFAULTS_FILE,
    PAGE_FILE,
    SCHEMA_FILE,
    fill_tables,
    format_defaults,
    format_schema,
    json_schema,
)

ENVIRON = {"GOOGLE_CLOUD_PROJECT": "demo"}
SECRET = "projects/demo/secrets/s/versions/1"  # noqa: S105  # the name of a secret

GOOD = [
    "",
    "project: mirrors-1",
    "location: multi-region",
    "clusters: [gpu]",
    "targets: {l4: {nodeSelector: {cloud.google.com/gke-spot: 'true'}}, other: }",
    "targets: {l4: {tolerations: [{key: nvidia.com/gpu, operator: Exists}]}}",
    "ladder: [prewarm-api]",
    "include: ['docker.io/*', 'localhost:5000/a']",
    "upstreams: {}",
    "upstreams: {quay.io: , ghcr.io: {repository: hub, uri: 'https://ghcr.io'}}",
    f"upstreams: {{quay.io: {{username: u, password_secret_version: {SECRET}, paths: [a/*]}}}}",
    "period_hours: 0.25",
    "max_event_age_hours: 0",
]

BAD = [
    "projekt: x",
    "project: ",
    "location: mars",
    "dry_run: yes",
    "clusters: []",
    "targets: {l4: {tolerations: [{operator: Exists}]}}",
    "targets: {l4: {nodeSelector: {a: 1}}}",
    "targets: {l4: {node_selector: {a: b}}}",
    "ladder: [gpu-node, gpu-node]",
    "include: ['a:b']",
    "min_image_bytes: -1",
    "upstreams: {HOST: }",
    "upstreams: {quay.io: {username: u}}",
    f"upstreams: {{quay.io: {{username: u, password_secret_version: {SECRET}}}}}",
    "upstreams: {quay.io: {uri: 'http://quay.io'}}",
    "system_namespaces: ['gke-*']",
    "max_running: 1000",
    "period_hours: 0",
    "deployment_project: demo",
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


def test_published_schema_is_in_step() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == format_schema()


def test_defaults_of_terraform_are_those_of_the_settings() -> None:
    assert DEFAULTS_FILE.read_text(encoding="utf-8") == format_defaults()


def test_published_tables_are_in_step() -> None:
    page = PAGE_FILE.read_text(encoding="utf-8")

    assert page == fill_tables(page)


def test_every_key_is_described() -> None:
    properties = json_schema()["properties"]

    assert set(properties) == set(Settings.__struct_fields__) - NOT_IN_FILE
    assert all(each["description"] for each in properties.values())


@pytest.mark.parametrize("text", GOOD)
def test_schema_and_settings_accept_the_same(validator: Draft202012Validator, text: str) -> None:
    document = parse_document(text, name="prestream.yaml")

    assert list(validator.iter_errors(document.values)) == []
    assert make_settings(document, ENVIRON, name="prestream.yaml").deployment_project == "demo"


@pytest.mark.parametrize("text", BAD)
def test_schema_and_settings_refuse_the_same(validator: Draft202012Validator, text: str) -> None:
    document = parse_document(text, name="prestream.yaml")

    assert not validator.is_valid(document.values)
    with pytest.raises(ConfigurationError):
        make_settings(document, ENVIRON, name="prestream.yaml")


def test_shipped_file_holds_comments_only(validator: Draft202012Validator) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")

    assert yaml.safe_load(text) is None
    assert validator.is_valid(None)
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={_schema_address()}"


def test_shipped_file_shows_every_key_with_its_default() -> None:
    lines = DEFAULT_FILE.read_text(encoding="utf-8").splitlines()
    # A key follows its "#" directly; a comment has a space there.
    keys = "\n".join(line[1:] for line in lines if line[:1] == "#" and _is_key(line[1:]))

    document = parse_document(keys, name="prestream.yaml")
    shown = make_settings(document, ENVIRON, name="prestream.yaml")

    assert set(document.values) == set(Settings.__struct_fields__) - NOT_IN_FILE
    assert shown == make_settings(
        Document({"project": shown.project}), ENVIRON, name="prestream.yaml"
    )


def test_examples_of_the_page_are_valid(validator: Draft202012Validator) -> None:
    blocks = PAGE_FILE.read_text(encoding="utf-8").split("```yaml\n")[1:]
    examples = [block.partition("```")[0] for block in blocks]

    documents = [parse_document(each, name="example") for each in examples]

    assert len(documents) >= 2
    for each in documents:
        assert list(validator.iter_errors(each.values)) == []
        make_settings(each, ENVIRON, name="example")


def _schema_address() -> str:
    return str(SCHEMA_FILE.relative_to(Path(DEFAULT_FILE).parent))


def _is_key(line: str) -> bool:
    """Whether it is a key or what belongs to one: a list's item, or an upstream."""
    return line[:1].isalpha() or (line[:2] == "  " and line[2:3] != " ")
