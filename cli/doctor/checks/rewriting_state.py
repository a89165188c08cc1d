"""Whether pods are rewritten to the mirrors: the policy, its binding and its parameter."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cli.connect.policy_version import (
    FOLDERS,
    PolicyVersion,
    ServedPolicies,
    make_enabling_command,
)
from cli.doctor.check import Check, Verdict, command, unknown
from cli.doctor.response import NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.json_access import mapping_of
from shared.domain.proven_mirrors import ProvenMirrors, key_of

POLICY: Final = "prestream-mirrors"
"""The name of the policy and of its binding."""

_MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class RewritingResponses:
    """The objects in a cluster that rewrite pods."""

    name: ClusterName
    served: ServedPolicies | Unavailable
    policy: Response
    binding: Response
    parameter: Response
    """The ConfigMap of proven mirrors."""
    namespaces: Sequence[str] | Unavailable
    """The namespaces that opted in."""
    in_place: frozenset[str] = frozenset()
    """The upstreams without a mirror (``mirror: never``)."""


def check_rewriting(readings: RewritingResponses) -> Iterator[Check]:
    """Check that the objects of the policy are complete."""
    yield _check_version(readings)
    yield _check_policy(readings)
    if not isinstance(readings.policy, (NotFound, Unavailable)):
        yield _check_binding(readings)
        yield from _check_parameter(readings)


def _check_version(readings: RewritingResponses) -> Check:
    """Check which version of the policy's API applies."""
    served = readings.served
    if isinstance(served, Unavailable):
        return unknown("rewriting", "policy-version", _subject(readings), served)
    what = f"the API versions of {readings.name}"
    if served.version is not None:
        found = f"the API server serves {served.version}: apply {FOLDERS[served.version]}"
        return _make(readings, "policy-version", "ok", what, found)
    found = (
        f"the API server ({served.kubernetes_text}) serves neither v1 nor v1beta1 of"
        " MutatingAdmissionPolicy, so it cannot rewrite pods: prestream rewrite changes the files"
    )
    if not served.has_beta_to_enable:
        return _make(readings, "policy-version", "warning", what, found)
    found += ", or the beta API can be enabled (and not be disabled again)"
    fix = f"{make_enabling_command(readings.name)}\n{_apply(readings)}"
    return _make(readings, "policy-version", "warning", what, found, fix)


def _check_policy(readings: RewritingResponses) -> Check:
    what = f"MutatingAdmissionPolicy {POLICY} in {readings.name}"
    policy, namespaces = readings.policy, readings.namespaces
    if isinstance(policy, Unavailable):
        return unknown("rewriting", "policy", _subject(readings), policy)
    if isinstance(namespaces, Unavailable):
        return unknown("rewriting", "policy", _subject(readings), namespaces)
    label = command(
        *("kubectl", f"--context={readings.name.context}", "label", "namespace"),
        *("NAMESPACE", "prestream.dev/rewrite=enabled"),
    )
    if isinstance(policy, NotFound):
        if not namespaces:
            found = (
                "it is not applied: pods pull from a mirror only if their manifest names it"
                " (prestream rewrite changes the files)"
            )
            return _make(readings, "policy", "ok", what, found)
        found = f"it is missing, though {_name(namespaces)} opted in: their pods are not rewritten"
        return _make(readings, "policy", "failed", what, found, _apply(readings))
    if not namespaces:
        found = "it exists, but no namespace opted in, so pods are not rewritten"
        return _make(readings, "policy", "warning", what, found, label)
    return _make(readings, "policy", "ok", what, f"it rewrites the pods of {_name(namespaces)}")


def _check_binding(readings: RewritingResponses) -> Check:
    what = f"MutatingAdmissionPolicyBinding {POLICY} in {readings.name}"
    if isinstance(readings.binding, Unavailable):
        return unknown("rewriting", "policy-binding", _subject(readings), readings.binding)
    if isinstance(readings.binding, NotFound):
        found = "it is missing: without it the policy does nothing"
        return _make(readings, "policy-binding", "failed", what, found, _apply(readings))
    return _make(readings, "policy-binding", "ok", what, "it is there")


def _check_parameter(readings: RewritingResponses) -> Iterator[Check]:
    what = f"ConfigMap proven-mirrors in {readings.name}"
    parameter = readings.parameter
    if isinstance(parameter, Unavailable):
        yield unknown("rewriting", "policy-parameter", _subject(readings), parameter)
        return
    if isinstance(parameter, NotFound):
        found = "it is missing, so pods are not rewritten"
        yield _make(readings, "policy-parameter", "failed", what, found, _apply(readings))
        return
    data = {str(key): str(text) for key, text in mapping_of(parameter.get("data")).items()}
    proven = ProvenMirrors.from_data(data)
    for key, fault in proven.broken.items():
        edit = ("kubectl", f"--context={readings.name.context}", "-n", "prestream", "edit")
        found = f"its entry {key} is invalid: {fault}"
        fix = command(*edit, "configmap", "proven-mirrors")
        yield _make(readings, "policy-parameter", "failed", what, found, fix)
    active = [host for host, proof in proven.proofs.items() if proof.pin != "off"]
    if stale := sorted(readings.in_place.intersection(active)):
        found = f"pods are still rewritten to the mirror of {_name(stale)}, which has mirror: never"
        yield _make(readings, "policy-parameter", "failed", what, found, _remove(readings, stale))
    elif not active:
        found = "no mirror is proven yet: the first warmup through one proves it"
        yield _make(readings, "policy-parameter", "warning", what, found)
    elif not proven.broken:
        found = f"proven are the mirrors of {_name(active)}"
        yield _make(readings, "policy-parameter", "ok", what, found)


def _subject(readings: RewritingResponses) -> str:
    return f"rewriting in cluster {readings.name.name}"


def _make(  # noqa: PLR0913, PLR0917  # each is a field of the check
    readings: RewritingResponses,
    name: str,
    verdict: Verdict,
    looked_at: str,
    finding: str,
    fix: str | None = None,
) -> Check:
    return Check(
        topic="rewriting",
        name=name,
        subject=_subject(readings),
        verdict=verdict,
        looked_at=looked_at,
        finding=finding,
        fix=fix,
    )


def _apply(readings: RewritingResponses) -> str:
    context = f"--context={readings.name.context}"
    return command("kubectl", context, "apply", "-k", FOLDERS[_applicable(readings)])


def _remove(readings: RewritingResponses, hosts: Sequence[str]) -> str:
    patch = json.dumps({"data": {key_of(host): None for host in hosts}})
    return command(
        *("kubectl", f"--context={readings.name.context}", "-n", "prestream", "patch"),
        *("configmap", "proven-mirrors", "--type=merge", "-p", patch),
    )


def _applicable(readings: RewritingResponses) -> PolicyVersion:
    """Return the version whose manifests apply, at least once its API is enabled."""
    served = readings.served
    if isinstance(served, Unavailable):
        return "v1"
    return served.version or ("v1beta1" if served.has_beta_to_enable else "v1")


def _name(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
