"""The rights of a function in its manifests and in Terraform, and the right of each call."""

import re
from collections.abc import Iterator

from sandbox.local_cloud import PROJECT, REWRITING, read_manifests
from tests.contract.terraform_files import read_local
from tests.integration.crashes.strikes import Call

_BUILT_IN = {"", "apps", "batch"}
"""API groups of every cluster; a sweep lists the kinds of other groups where they exist."""

_BY_KUBECONFIG = {"container.clusters.connect"}
"""Used to connect to a cluster by its address, which is in the kubeconfig here."""

_NOT_NEEDED = {
    # It lists instead, and shares a role with image_reference.
    "scheduled_sweep": {"artifactregistry.repositories.checkPrewarmedArtifact"}
}

_PATH = re.compile(
    r"/apis?/(?:(?P<group>[^/]+)/)?v\w+(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?P<name>/[^/]+)?"
)
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}

_GOOGLE = (
    (r"artifact-registry GET .*/prewarmedArtifacts$", "listPrewarmedArtifacts"),
    (r"artifact-registry GET .*/repositories/[^/]+$", "get"),
    (r"artifact-registry POST .*/repositories$", "create"),
    (r"artifact-registry PATCH .*/repositories/[^/]+$", "update"),
    (r"artifact-registry POST .*:prewarmArtifact$", "prewarmArtifact"),
    (r"artifact-registry POST .*:checkPrewarmedArtifact$", "checkPrewarmedArtifact"),
    (r"artifact-registry POST .*:removePrewarmedArtifact$", "removePrewarmedArtifact"),
    (r"registry GET /v2/.*", "downloadArtifacts"),
)


def find_rights(function: str) -> set[str]:
    """Return the rights of a function that a scenario can use."""
    rights = {*_in_cluster(function), *_in_project(function)}
    return rights - _NOT_NEEDED.get(function, set())


def right_of(call: Call) -> str:
    """Return the right that a call needs; the call itself if its kind is not known."""
    if call.service == "kubernetes":
        return _in_cluster_of(call)
    for pattern, method in _GOOGLE:
        if re.fullmatch(pattern, str(call)):
            return f"artifactregistry.repositories.{method}"
    if str(call) == "logging POST /v2/entries:write":
        return "logging.logEntries.create"
    if re.fullmatch(r"container GET .*/clusters", str(call)):
        return "container.clusters.list"
    if re.fullmatch(r"container GET .*/clusters/[^/]+", str(call)):
        return "container.clusters.get"
    return re.sub(r"^pubsub Publish projects/\w+/topics/", "publish to ", str(call))


def _in_cluster(function: str) -> Iterator[str]:
    for role in [*read_manifests(PROJECT), *read_manifests(PROJECT, REWRITING)]:
        component = role["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if role["kind"] not in {"Role", "ClusterRole"} or component != function.replace("_", "-"):
            continue
        where = role["metadata"].get("namespace", "all")
        for rule in role["rules"]:
            yield from (
                _name(verb, plural, group, where)
                for group in rule["apiGroups"]
                if group in _BUILT_IN
                for plural in rule["resources"]
                for verb in rule["verbs"]
            )


def _in_project(function: str) -> Iterator[str]:
    roles, declared = read_local("roles"), read_local("functions")[function]
    for role in read_local("function_roles")[function]:
        found = re.findall(r"['\"]([a-z]+\.[a-zA-Z]+\.\w+)['\"]", str(roles[role]["permissions"]))
        yield from set(found) - _BY_KUBECONFIG
    for topic in declared["publishes_to"]:
        yield f"publish to {topic}"


def _in_cluster_of(call: Call) -> str:
    method, _, path = call.text.partition("?")[0].partition(" ")
    found = _PATH.fullmatch(path)
    if found is None:
        return str(call)
    verb = _VERBS.get(method) or ("get" if found["name"] else "list")
    where = found["namespace"] or "all"
    if found["plural"] == "namespaces" and found["name"]:
        where = found["name"][1:]  # A role in a namespace applies to the namespace itself.
    return _name(verb, found["plural"], found["group"] or "", where)


def _name(verb: str, plural: str, group: str, where: str) -> str:
    return f"{verb} {plural}{f'.{group}' if group else ''} in {where}"
