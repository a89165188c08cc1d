"""
The demo on your own Kubernetes cluster: its API server, and its nodes if it has any.

Google's services stay local, so the nodes of the cluster cannot pull the images of the Jobs: the
demo shows that the cluster accepts the manifests and the Jobs under its own rules.
"""

import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
from rich.console import Console
from rich.table import Table

from sandbox.demo.case import CASES, NAMESPACE, NAMESPACE_BODY, Case
from sandbox.demo.outcome import Result, jobs_by_cause, read_results, write_facts
from sandbox.gke.log_router import LogRouter
from sandbox.kubernetes.audit import AuditRecord
from sandbox.local_cloud import (
    CLUSTER,
    LOCATION,
    PROJECT,
    REWRITING,
    Services,
    read_manifests,
    read_sinks,
)

_TIMEOUT_S = 60.0
_TICK_S = 0.2
_WATCH_S = 5
_CONFLICT, _NOT_FOUND = 409, 404
_KNOWS_POLICIES = (1, 36)
_WARMUPS = "app.kubernetes.io/component=warmup"


def run_on_own_cluster(console: Console, build: Path, kubeconfig: Path) -> int:
    """Run the demo, show the outcomes, and return the exit status."""
    services = Services(scale=1.0, kubeconfig=kubeconfig)
    demo = _OwnCluster(services, console, kubeconfig)
    try:
        results = demo.run(build)
    finally:
        demo.close()
        services.stop()
    _show(console, results)
    path = write_facts(demo.facts, build / "demo")
    wrong = [result for result in results if _faults(result)]
    console.print(
        f"{len(results) - len(wrong)} of {len(results)} outcomes as expected;"
        f" the facts are in {path.relative_to(build.parent)}.\n"
        "The manifests and the warmup Jobs are still in the cluster; this removes them:"
    )
    for folder in demo.applied:
        console.print(f"  kubectl delete -k {folder}")
    return 1 if wrong else 0


class _OwnCluster:
    def __init__(self, services: Services, console: Console, kubeconfig: Path) -> None:
        from kubernetes import client, config, dynamic

        self.facts: list[dict[str, Any]] = []
        self.applied = ["infra/kubernetes"]
        """The folders whose manifests are in the cluster, the last applied first."""
        self._services = services
        self._console = console
        self._stopped = threading.Event()
        self._errors = client.ApiException
        self._client = config.new_client_from_config(str(kubeconfig), persist_config=False)
        self._api = dynamic.DynamicClient(self._client)
        self._router = LogRouter(
            PROJECT,
            LOCATION,
            CLUSTER,
            services.clock,
            self._publish,
            read_sinks(),
        )
        self._exporter = threading.Thread(target=self._export_events, daemon=True)

    def run(self, build: Path) -> list[Result]:
        """Apply, deploy, wait, and return the results."""
        services = self._services
        self._console.print("Starting the local services, and the functions from their archives")
        services.start()
        self._router.start()
        self._console.print("Applying infra/kubernetes to the cluster")
        for body in self._read_manifests():
            self._apply(body)
        self._exporter.start()
        services.serve(build / "functions", build / "deployed" / "bin" / "python")
        self._console.print("Deploying workloads, scaled to zero, that do not name a mirror")
        self._apply(dict(NAMESPACE_BODY))
        try:
            for case in CASES:
                self._deploy(case)
            results = self._wait()
        finally:
            self._delete_namespace()
        self.facts = services.facts()
        return results

    def _read_manifests(self) -> list[dict[str, Any]]:
        """Return the manifests that the version of the cluster accepts."""
        from kubernetes import client

        version = client.VersionApi(self._client).get_code()
        # GKE has a plus after the minor version.
        number = int(version.major), int(version.minor.rstrip("+"))
        if number >= _KNOWS_POLICIES:
            self.applied.insert(0, "infra/kubernetes/rewriting")
            return [*read_manifests(PROJECT), *read_manifests(PROJECT, REWRITING)]
        self._console.print(
            f"Leaving out infra/kubernetes/rewriting: Kubernetes {version.git_version} is older"
            " than 1.36. There, prestream rewrite does the same to files."
        )
        return read_manifests(PROJECT)

    def close(self) -> None:
        """Stop the router and the exporter."""
        self._stopped.set()
        if self._exporter.is_alive():
            self._exporter.join()
        self._router.stop()
        self._client.close()

    def _publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        self._services.messaging.publish(topic, data, attributes)

    def _deploy(self, case: Case) -> None:
        if case.is_build:
            case.build(self._services)
            return
        body = case.deployment()
        body["spec"]["replicas"] = 0
        self._router.on_audit(self._record(body, self._apply(body)))

    def _record(self, request: dict[str, Any], response: dict[str, Any]) -> AuditRecord:
        """Return the record that the audit log of GKE has of a creation."""
        return AuditRecord(
            verb="create",
            user="dev@example.com",
            group="apps",
            version="v1",
            resource="deployments",
            subresource="",
            namespace=NAMESPACE,
            name=request["metadata"]["name"],
            request=request,
            content_type="application/json",
            response=response,
            code=201,
            dry_run=False,
            user_agent="prestream-demo",
            source_ip="127.0.0.1",
            received_at=self._services.clock.now(),
            audit_id=str(uuid.uuid4()),
        )

    def _apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object, or merge it into the one that is there."""
        resource = self._api.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        namespace = body["metadata"].get("namespace")
        try:
            made = resource.create(body=body, namespace=namespace)
        except self._errors as exc:
            if exc.status != _CONFLICT:
                raise
            made = resource.patch(
                body=body, namespace=namespace, content_type="application/merge-patch+json"
            )
        applied: dict[str, Any] = made.to_dict()
        return applied

    def _delete_namespace(self) -> None:
        resource = self._api.resources.get(api_version="v1", kind="Namespace")
        try:
            resource.delete(name=NAMESPACE)
        except self._errors as exc:
            if exc.status != _NOT_FOUND:
                raise

    def _wait(self) -> list[Result]:
        """Wait until each case has a Job or a fact, or time is up."""
        due = time.monotonic() + _TIMEOUT_S
        while True:
            results = read_results(CASES, self._services.facts(), self._find_jobs())
            settled = all(result.job or result.is_warm for result in results)
            if settled or time.monotonic() > due:
                return results
            self._stopped.wait(_TICK_S)

    def _find_jobs(self) -> dict[str, str]:
        resource = self._api.resources.get(api_version="batch/v1", kind="Job")
        found = resource.get(namespace="prestream", label_selector=_WARMUPS).to_dict()
        return jobs_by_cause(found["items"])

    def _export_events(self) -> None:
        """Hand the cluster's events to the sinks, as GKE's exporter does."""
        resource = self._api.resources.get(api_version="v1", kind="Event")
        version: str | None = None
        while not self._stopped.is_set():
            try:
                for event in resource.watch(
                    namespace="prestream", resource_version=version, timeout=_WATCH_S
                ):
                    body: Mapping[str, Any] = event["raw_object"]
                    version = body["metadata"]["resourceVersion"]
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        self._router.on_event(dict(body))
            except (self._errors, urllib3.exceptions.HTTPError):
                # Too old a version, or a connection that ended: begin anew.
                version = None
                self._stopped.wait(_TICK_S)


def _faults(result: Result) -> list[str]:
    """Return the differences from the expected outcome, except for those due to nodes."""
    if result.case.outcome in {"pull_failed", "not_allowed"}:
        return result.faults
    has_no_node = result.warmup is not None and result.warmup["outcome"] == "no_node"
    if result.job or has_no_node:
        return []
    return ["neither a Job nor a fact came"]


def _show(console: Console, results: list[Result]) -> None:
    table = Table(title="The outcome of each image", title_justify="left")
    for heading in ("image", "Job", "outcome", "what to do"):
        table.add_column(heading, overflow="fold")
    for result in results:
        warmup = result.warmup or {}
        outcome = warmup.get("outcome") or ("Job created" if result.job else "none")
        advice = "; ".join(_faults(result)) or warmup.get("hint") or ""
        table.add_row(result.case.title, result.job or "-", outcome, advice)
    console.print(table)
