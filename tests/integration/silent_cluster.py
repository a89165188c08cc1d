"""A second cluster of the region, whose API server does not answer."""

import yaml

from sandbox.local_cloud import CLUSTER, LOCATION, PROJECT, LocalCloud

SILENT = f"projects/{PROJECT}/locations/{LOCATION}/clusters/silent"


def add_silent_cluster(cloud: LocalCloud, function: str) -> None:
    """Add the cluster to a cloud before it starts, with a kubeconfig of both for a function."""
    accelerators = [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}]
    streams = {"gcfsConfig": {"enabled": True}}
    pool = {"name": "l4", "config": {"accelerators": accelerators, **streams}}
    cloud.container.add_cluster({"name": "silent", "location": LOCATION, "nodePools": [pool]})
    token = f"token-of-{function}"
    context = f"gke_{PROJECT}_{LOCATION}_{CLUSTER}"
    config = cloud.kubernetes.kubeconfig(context, token)
    silent = f"gke_{PROJECT}_{LOCATION}_silent"
    # A port that nothing listens on.
    config["clusters"].append({"name": silent, "cluster": {"server": "http://127.0.0.1:9"}})
    config["contexts"].append({"name": silent, "context": {"cluster": silent, "user": context}})
    (cloud.folder / f"{function}.kubeconfig").write_text(yaml.safe_dump(config))
    email = f"prestream-{function.replace('_', '-')}@{PROJECT}.iam.gserviceaccount.com"
    cloud.kubernetes.add_user(token, email)
