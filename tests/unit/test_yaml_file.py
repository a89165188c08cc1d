"""The YAML of a settings file: numbers, anchors, duplicate keys, and syntax errors."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shared.errors import ConfigurationError
from shared.settings.keys import Settings, load_settings

Load = Callable[[str], Settings]
Refuse = Callable[[str], list[str]]


def test_key_that_is_given_twice_is_refused_with_both_lines(refuse: Refuse) -> None:
    problems = refuse("max_running: 1\nupstreams:\n  quay.io:\n  quay.io:\nmax_running: 2\n")

    assert problems == [
        "max_running: given twice, in line 1 and in line 5",
        "quay.io: given twice, in line 3 and in line 4",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("dry_run: true\n  max_running: 1\n", "line 2, column 14", id="indentation"),
        pytest.param("include: [a\n", "line 2, column 1", id="open-list"),
        pytest.param("location: %us\n", "line 1, column 11", id="odd-character"),
        pytest.param("a: !!python/object:os.system x\n", "line 1, column 4", id="python-object"),
        pytest.param("a: 1\n---\na: 2\n", "line 2, column 1", id="two-documents"),
        pytest.param("a: *nothing\n", "line 1, column 4", id="unknown-alias"),
        pytest.param("[a]: 1\n", "line 1, column 1", id="list-as-key"),
        pytest.param("a: \x00\n", "not valid YAML", id="nul"),
        pytest.param("- a\n", "holds a list", id="list"),
        pytest.param("prestream\n", "holds a str", id="text"),
        pytest.param("a: " + "[" * 5000, "not valid YAML", id="deep-nesting"),
        pytest.param("max_running: 1" + "0" * 5000, "not valid YAML", id="huge-number"),
    ],
)
def test_invalid_yaml_is_refused_with_its_place(refuse: Refuse, text: str, words: str) -> None:
    (problem,) = refuse(text)

    assert words in problem


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prestream.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="cannot read"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})


def test_numbers_are_those_of_yaml_1_2(load: Load) -> None:
    settings = load("cleanup_days: 0100\nmin_image_bytes: 0x10\nmax_running: 0o17\n")

    assert (settings.cleanup_days, settings.min_image_bytes, settings.max_running) == (100, 16, 15)


def test_parser_in_python_reads_the_same(
    load: Load, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyYAML is without its parser in C where libyaml was missing when it was built.
    monkeypatch.delattr(yaml, "CSafeLoader")

    assert load("# nothing") == Settings(project="demo", deployment_project="demo")
    assert load("cleanup_days: 0100").cleanup_days == 100
    assert refuse("dry_run: yes\ndry_run: true") == [
        "dry_run: given twice, in line 1 and in line 2"
    ]
    assert "line 2, column 1" in refuse("include: [a\n")[0]


def test_anchors_and_merges_are_followed(load: Load) -> None:
    settings = load(
        """
        upstreams:
          quay.io: &login
            username: me
            password_secret_version: projects/p/secrets/s/versions/latest
            paths: [a]
          ghcr.io: {<<: *login, paths: [b]}
        """
    )

    assert settings.upstreams["ghcr.io"].username == "me"
    assert settings.upstreams["ghcr.io"].paths == ("b",)
