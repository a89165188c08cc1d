"""Options and files that a command refuses: its exit code, and the words that explain it."""

from pathlib import Path

import pytest

from tests.fakes.command_line import run_command

TARGETS = """
targets:
  l4: {nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}}
  a100: {nodeSelector: {cloud.google.com/gke-accelerator: nvidia-tesla-a100}}
"""
OFFLINE = "--offline --location us"
WHERE = "--project demo --location us-central1"
NOT_UTF_8 = b"image: nginx\nname: \xff\n"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("doctor --image UPPER", 2, "--image"),
        ("doctor --cluster gpu", 5, "'gpu' cannot be looked up"),
        ("doctor --cluster GPU", 2, "not projects/P/locations"),
        ("doctor --context c --cluster x --cluster y", 2, "--context"),
        ("doctor --context gpu", 2, "kubeconfig not found"),
        ("plan --offline", 2, "--offline does not read a cluster"),
        ("plan -f - --from -", 2, "exclude each other"),
        ("plan -f - -f -", 2, "read once only"),
        ("plan --cluster gpu", 5, "'gpu' cannot be looked up"),
        ("plan --cluster a/b", 2, "not projects/P/locations"),
        ("plan --offline -f - --cluster gpu", 2, "does not search"),
        ("plan", 2, "gcloud container clusters get-credentials"),
        ("plan -f - --offline", 4, "--location"),
        (f"plan -f absent.yaml {OFFLINE}", 3, "No such file"),
        ("policy --project other", 2, "--status"),
        ("policy --context gpu", 2, "kubeconfig not found"),
        ("policy --api-version v2", 2, "'v2'"),
        ("replay absent.json", 3, "No such file"),
        ("replay --publish -", 2, "--yes"),
        (f"rewrite {WHERE} --check --in-place a", 2, "exclude each other"),
        (f"rewrite {WHERE} --in-place -", 2, "standard input"),
        (f"rewrite {WHERE} --pull-secrets no -", 2, "'no'"),
        (f"rewrite {WHERE} --location US! -", 2, "'US!'"),
        (f"rewrite {WHERE} --location mars -", 2, "'mars'"),
        (f"rewrite {WHERE}", 2, "Missing argument"),
        (f"rewrite {WHERE} /no/such/file", 3, "/no/such/file: No such file"),
        (f"rewrite {WHERE} -", 3, "-:2: not UTF-8: b'\\xff'"),
        ("rewrite -", 4, "--location"),
        ("status UPPER", 2, "invalid"),
        ("wait UPPER", 2, "invalid repository"),
        ("wait nginx --timeout 10", 2, "--timeout"),
        ("wait nginx --cluster gpu", 5, "--cluster"),
        ("wait nginx --context c --cluster x --cluster y", 2, "--context"),
        ("wait nginx --timeout 0s", 5, "name them with --cluster"),
        # Pub/Sub does not answer: a command that published first would exit with 5.
        ("warm UPPER", 2, "invalid"),
        ("warm nginx --platform arm", 2, "--platform"),
        ("warm nginx --cluster gpu", 5, "--cluster"),
        ("warm nginx --target h100", 2, "known: a100, l4"),
        ("warm nginx --wait --timeout soon", 2, "--timeout"),
    ],
)
def test_command_that_cannot_run_explains_why(
    environ: dict[str, str], command: str, code: int, words: str
) -> None:
    Path(environ["PRESTREAM_CONFIG"]).write_text(TARGETS, encoding="utf-8")

    result = run_command(environ, *command.split(), text=NOT_UTF_8)

    assert result.exit_code == code, result.output
    assert words in result.stderr


@pytest.mark.parametrize("command", ["doctor", "plan --offline -f -", "replay -", "wait nginx"])
def test_invalid_settings_are_reported(environ: dict[str, str], command: str) -> None:
    Path(environ["PRESTREAM_CONFIG"]).write_text("locatoin: us\n", encoding="utf-8")

    result = run_command(environ, *command.split(), text="")

    assert result.exit_code == 4
    assert "locatoin" in result.stderr
