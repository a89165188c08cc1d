"""Create the objects that a trial needs, each listed for its removal before it exists."""

import threading
import time
from dataclasses import dataclass, field

from cli.trial.clean_up import CleanUp
from cli.trial.trial_image import RemovableRepositories
from cli.trial.trial_objects import (
    Removal,
    make_namespace,
    make_priority_class,
    make_service_account,
)
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.mirror import RepositoryName
from shared.errors import TransientError

_GONE_WITHIN_S = 60.0
"""How long an object may take to be removed."""


@dataclass(slots=True)
class TrialSetup:
    """The objects of one trial, which all have its name."""

    name: str
    cluster: KubernetesCluster
    repositories: RemovableRepositories
    clean_up: CleanUp
    poll_s: float
    _event: threading.Event = field(default_factory=threading.Event)

    def create_objects(self) -> None:
        """
        Create the priority class, the namespace and its service account.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        delete = f"kubectl --context={self.cluster.name.context} delete"
        self.clean_up.add(
            Removal(
                f"priority class {self.name}",
                f"{delete} priorityclass {self.name}",
                lambda: self.cluster.delete_object(
                    "scheduling.k8s.io/v1", "priorityclasses", self.name
                ),
            )
        )
        self.cluster.create_object("priorityclasses", make_priority_class(self.name))
        self.clean_up.add(
            Removal(
                f"namespace {self.name}",
                f"{delete} namespace {self.name}",
                self._delete_namespace,
            )
        )
        self.cluster.create_object("namespaces", make_namespace(self.name))
        self.cluster.create_object("serviceaccounts", make_service_account(), self.name)

    def announce_mirror(self, name: RepositoryName) -> None:
        """List a mirror that is about to be created."""
        self.clean_up.add(
            Removal(
                f"mirror {name}",
                f"gcloud artifacts repositories delete {name.repository_id}"
                f" --location={name.location} --project={name.project}",
                lambda: self._delete_mirror(name),
            )
        )

    def pause(self) -> None:
        """Wait for one poll."""
        self._event.wait(self.poll_s)

    def wait(self, until: float) -> bool:
        """Wait for one poll; False if the time is over."""
        self.pause()
        return time.monotonic() < until

    def _delete_namespace(self) -> None:
        due = time.monotonic() + _GONE_WITHIN_S
        self.cluster.delete_object("v1", "namespaces", self.name)
        while self.cluster.fetch_object("v1", "namespaces", self.name) is not None:
            if not self.wait(due):
                raise TransientError(f"namespace {self.name} is still being removed")

    def _delete_mirror(self, name: RepositoryName) -> None:
        due = time.monotonic() + _GONE_WITHIN_S
        self.repositories.delete_repository(name)
        while self.repositories.fetch_repository(name) is not None:
            if not self.wait(due):
                raise TransientError(f"mirror {name} is still being removed")
