"""The findings of ``prestream report``, grouped by cause; and reports about simulated nodes."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from shared.domain.fact import Fact
from tests.fakes.fact_lines import CLUSTER, NOON, as_line, as_lines, pull, subject, warmup
from tests.fakes.report_command import COLD, FACTS, read_report, run_report

OFF = "Image streaming is off on this node: turn it on for its node pool."


def slow(name: str, *, hint: str | None = OFF, cluster: str = CLUSTER, pool: str = "l4") -> Fact:
    about = subject(f"docker.io/team/{name}:1", f"r.io/{name}:1", cluster)
    return pull("not_streamed", 90.0, about=about, pod=name, hint=hint, node_pool=pool)


def findings(*facts: Fact) -> list[Any]:
    found: list[Any] = read_report(as_lines(facts))["findings"]
    return found


def test_images_with_one_cause_are_one_finding() -> None:
    (found,) = findings(slow("a"), slow("b"), slow("c"))

    assert found["title"] == "3 images were pulled without streaming"
    assert [each["image"] for each in found["affected"]] == [
        f"docker.io/team/{name}:1" for name in "abc"
    ]
    assert found["waited_seconds"] == 270.0
    assert found["page"] == "docs/not-streaming.md"


def test_each_node_pool_without_streaming_has_its_command() -> None:
    found = findings(slow("a"), slow("b", pool="h100"))

    for pool, each in zip(("l4", "h100"), found, strict=True):
        (command,) = each["commands"]
        assert command == (
            f"gcloud container node-pools update {pool} --cluster=gpu --location=us-central1"
            " --project=demo --enable-image-streaming"
        )


def test_failed_warmups_with_one_remedy_are_one_finding() -> None:
    facts = [
        warmup(
            None,
            outcome="no_node",
            streamed=None,
            about=subject(f"docker.io/team/{name}:1", f"r.io/{name}:1"),
            hint=f"Start a node for docker.io/team/{name}:1.",
            after_s=float(number),
        )
        for number, name in enumerate("ab")
    ]

    (found,) = findings(*facts)

    assert found["title"] == "2 images found no node to be warmed on"


KUBECTL = "kubectl --context=gke_demo_us-central1_gpu"
LABEL = f"{KUBECTL} label namespace ml prestream.dev/rewrite=enabled"
RESTART = f"{KUBECTL} --namespace=ml rollout restart deployments/trainer"
EDIT = f"{KUBECTL} --namespace=prestream edit configmap proven-mirrors"


@pytest.mark.parametrize(
    ("reason", "commands"),
    [
        ("not_labelled", [LABEL, RESTART]),
        ("old_pods", [RESTART]),
        ("pinned_off", [EDIT]),
        ("opted_out", []),
    ],
)
def test_commands_for_a_bypassed_mirror_follow_from_the_reason(
    reason: str, commands: list[str]
) -> None:
    fact = {
        "event": "mirror.bypassed",
        "image": "docker.io/team/a:1",
        "cluster": CLUSTER,
        "workloads": ["apps/v1/namespaces/ml/deployments/trainer"],
        "reason": reason,
        "insertId": "b1",
        "timestamp": NOON.isoformat(),
    }

    (found,) = read_report(json.dumps(fact))["findings"]

    assert found["commands"] == commands


def test_name_of_a_workload_is_quoted_for_the_shell() -> None:
    fact = {
        "event": "mirror.bypassed",
        "image": "docker.io/team/a:1",
        "cluster": CLUSTER,
        "workloads": ["apps/v1/namespaces/ml/deployments/$(reboot)"],
        "insertId": "b1",
        "timestamp": NOON.isoformat(),
    }

    (found,) = read_report(json.dumps(fact))["findings"]

    assert found["commands"][0].endswith("'$(reboot)'")


def mark(fact: Fact) -> str:
    return json.dumps({**json.loads(as_line(fact)), "simulated": True}) + "\n"


def test_simulated_facts_are_named_first_everywhere(tmp_path: Path) -> None:
    text = "".join(map(mark, FACTS))

    shown = run_report(
        "-", "--csv", tmp_path / "i.csv", "--pulls", tmp_path / "p.csv", text=text
    ).stdout.splitlines()

    assert shown[0].startswith("SIMULATED. All facts are about simulated nodes")
    assert all(line.startswith("Simulated: ") for line in shown[1:4])
    for name in ("i.csv", "p.csv"):
        row, *_ = csv.DictReader(io.StringIO((tmp_path / name).read_text("utf-8")))
        assert next(iter(row.items())) == ("simulated", "true")
    assert next(iter(read_report(text).items())) == ("simulated", 3)


def test_page_marks_simulated_durations_and_money(tmp_path: Path) -> None:
    run_report("-", "--html", tmp_path / "r.html", text="".join(map(mark, FACTS)))

    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.index("SIMULATED.") < page.index('class="factor"')
    assert "as fast (simulated)" in page
    assert "Worth, less warming (simulated)" in page


def test_one_simulated_fact_marks_the_report() -> None:
    shown = run_report("-", text=mark(COLD) + as_lines(FACTS[1:])).stdout

    assert shown.startswith("SIMULATED. 1 of 3 facts are about simulated nodes")


def test_measured_facts_are_not_marked() -> None:
    assert "imulated" not in run_report("-", text=as_lines(FACTS)).stdout
