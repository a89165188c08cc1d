"""YAML and JSON documents that cannot be parsed."""

import pytest

from cli.input.yaml_documents import DocumentError, read_documents


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: 1\nimage: {{ .Values.image }}\nb: [", 3, id="template-of-helm"),
        pytest.param("a: 1\nb: *c\n", 2, id="alias-of-nothing"),
        pytest.param("a: 1\nb: &c [*c]\n", 2, id="alias-in-itself"),
        pytest.param('{"a": 1,\n"b" 2}', 2, id="json"),
        pytest.param("a: \x00", None, id="control-character"),
        pytest.param(f"a:\n  {'[' * 200_000}", 2, id="deep"),
        pytest.param("- " * 200_000, 1, id="deep-in-one-line"),
        pytest.param("a: &a {<<: *a}", 1, id="merge-in-itself"),
        pytest.param("a: &a\n  b: 1\n  <<: [*a]", 3, id="merge-of-itself-in-a-list"),
        pytest.param(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)),
            5,
            id="aliases-of-aliases",
        ),
        pytest.param(
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 19)),
            16,
            id="merges-of-merges",
        ),
        pytest.param(
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)),
            201,
            id="levels-of-aliases",
        ),
        pytest.param(
            f"a: &a [{'x,' * 1_000}]\n---\n"
            + "".join(f"a: &a [{'x,' * 1_000}]\nb: [{'*a,' * 60}]\n---\n" for _ in range(3)),
            7,
            id="documents-together",
        ),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(DocumentError) as refusal:
        read_documents(text)

    assert refusal.value.line == line


def test_values_without_aliases_are_not_limited() -> None:
    (document,) = read_documents(f"[{'x,' * 150_000}]")

    assert len(document.body) == 150_000


def test_aliases_below_the_limit_are_followed() -> None:
    (document,) = read_documents(f"a: &a [{'x,' * 1_000}]\nb: [{'*a,' * 99}]\n")

    assert sum(map(len, document.body["b"])) == 99_000


def test_mapping_that_is_merged_first_decides() -> None:
    text = "a: &a {k: a, x: a}\nb: &b {k: b, y: b}\nc: {<<: [*a, *b], x: c}\n"
    (document,) = read_documents(text)

    assert document.body["c"] == {"k": "a", "y": "b", "x": "c"}
