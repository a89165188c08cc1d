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
        pytest.param("a: &a {<<: *a}", None, id="merge-in-itself"),
        pytest.param(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)),
            None,
            id="aliases-of-aliases",
        ),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(DocumentError) as refusal:
        read_documents(text)

    assert refusal.value.line == line
