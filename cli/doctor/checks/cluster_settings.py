"""Whether a cluster lets its nodes stream, and lets Prestream see it."""

from typing import Final

from cli.doctor import google_requests
from cli.doctor.check import Check, command, unknown
from cli.doctor.response import Body, GoogleRequest, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.json_access import field_at, list_of, mapping_of, text_of
from shared.domain.node_pool import is_autopilot, makes_pools, pools_of, streams_by_default

_COMPONENTS: Final = {
    "SYSTEM_COMPONENTS": "SYSTEM",
    "WORKLOADS": "WORKLOAD",
    "APISERVER": "API_SERVER",
}
"""The logging components that gcloud names differently from the API."""


def check_default(name: ClusterName, body: Body) -> Check:
    """Check whether new and auto-provisioned pools will stream."""
    is_on = is_autopilot(body) or streams_by_default(body)
    provisions = makes_pools(body)
    off = (
        "it is off for the cluster, and so for every auto-provisioned pool"
        if provisions
        else "it is off for the cluster: new pools do not stream unless they turn it on"
    )
    found = "every node of Autopilot streams" if is_autopilot(body) else "it is on for the cluster"
    return Check(
        topic="cluster",
        name="streaming-default",
        subject=f"cluster {name}",
        verdict="ok" if is_on else "failed" if provisions else "warning",
        looked_at="nodePoolDefaults.nodeConfigDefaults.gcfsConfig of the Container API",
        finding=found if is_on else off,
        fix=None if is_on else _update(name, "--enable-image-streaming"),
    )


def check_logging(name: ClusterName, body: Body) -> Check:
    """Check that the reports of nodes reach Cloud Logging."""
    what = "loggingConfig of the Container API"
    service = text_of(body.get("loggingService"))
    config = body.get("loggingConfig")
    if config is None and service is None:
        unseen = Unavailable(what, "the cluster's description does not mention logging")
        return unknown("cluster", "system-logging", f"cluster {name}", unseen)
    parts = [
        str(each) for each in list_of(field_at(config, ("componentConfig", "enableComponents")))
    ]
    is_on = "SYSTEM_COMPONENTS" in parts or (
        config is None and service == "logging.googleapis.com/kubernetes"
    )
    words = ["SYSTEM", *(_COMPONENTS.get(each, each) for each in parts)]
    return Check(
        topic="cluster",
        name="system-logging",
        subject=f"cluster {name}",
        verdict="ok" if is_on else "failed",
        looked_at=what,
        finding="logs of system components are collected"
        if is_on
        else "logs of system components are not collected, so pulls and warmups are not recorded",
        fix=None if is_on else _update(name, f"--logging={','.join(dict.fromkeys(words))}"),
    )


def private_subnetworks(name: ClusterName, body: Body) -> list[GoogleRequest]:
    """Return the subnetworks whose nodes do not have a public address."""
    network = mapping_of(body.get("networkConfig"))
    everywhere = (
        field_at(body, ("privateClusterConfig", "enablePrivateNodes")) is True
        or network.get("defaultEnablePrivateNodes") is True
    )
    found = []
    configs = [mapping_of(pool.get("networkConfig")) for pool in pools_of(body)]
    for config in configs or [{}]:
        if config.get("enablePrivateNodes", everywhere) is True:
            path = config.get("subnetwork") or network.get("subnetwork") or body.get("subnetwork")
            found.append(_subnetwork(name, text_of(path) or "default"))
    return list(dict.fromkeys(found))


def check_private_access(look: GoogleRequest, reading: Response) -> Check:
    """Check that private nodes reach the service that streams."""
    *_, region, _, subnetwork = look.path.split("/")
    subject = f"subnetwork {subnetwork} in {region} of project {look.project}"
    if isinstance(reading, NotFound):
        reading = Unavailable(reading.what, "the subnetwork does not exist")
    if isinstance(reading, Unavailable):
        return unknown("cluster", "private-google-access", subject, reading)
    is_on = reading.get("privateIpGoogleAccess") is True
    return Check(
        topic="cluster",
        name="private-google-access",
        subject=subject,
        verdict="ok" if is_on else "failed",
        looked_at=f"privateIpGoogleAccess of {look}",
        finding="Private Google Access is on"
        if is_on
        else "Private Google Access is off: private nodes cannot reach the service that streams",
        fix=None
        if is_on
        else command(
            *("gcloud", "compute", "networks", "subnets", "update", subnetwork),
            *(f"--region={region}", f"--project={look.project}"),
            "--enable-private-ip-google-access",
        ),
    )


def check_public_nodes(name: ClusterName) -> Check:
    """Return the check of a cluster without private nodes."""
    return Check(
        topic="cluster",
        name="private-google-access",
        subject=f"cluster {name}",
        verdict="ok",
        looked_at="networkConfig and privateClusterConfig of the Container API",
        finding="the nodes are not private, so Private Google Access is not needed",
    )


def _subnetwork(name: ClusterName, path: str) -> GoogleRequest:
    """Return the request for a subnetwork, which is named in full (in a shared VPC) or shortly."""
    parts = path[max(path.find("projects/"), 0) :].split("/")
    fields = dict(zip(parts[::2], parts[1::2], strict=False)) if len(parts) > 1 else {}
    return google_requests.subnetwork(
        fields.get("projects", name.project), fields.get("regions", name.region), parts[-1]
    )


def _update(name: ClusterName, option: str) -> str:
    return command(
        *("gcloud", "container", "clusters", "update", name.name),
        *(f"--location={name.location}", f"--project={name.project}", option),
    )
