"""The admission plugins, in their order."""

from sandbox.kubernetes.admission.attributes import Attributes, Plugin
from sandbox.kubernetes.admission.mutating_policies import admit_mutating_policies
from sandbox.kubernetes.admission.namespaces import check_namespace
from sandbox.kubernetes.admission.pod_security import check_pod_security
from sandbox.kubernetes.admission.priority import admit_priority
from sandbox.kubernetes.admission.quota import check_quota
from sandbox.kubernetes.admission.service_accounts import admit_service_account
from sandbox.kubernetes.admission.tolerations import admit_tolerations
from sandbox.kubernetes.cluster import Cluster
from sandbox.kubernetes.store import Store

_MUTATING: tuple[Plugin, ...] = (
    check_namespace,
    admit_service_account,
    admit_priority,
    admit_tolerations,
)
_VALIDATING: tuple[Plugin, ...] = (check_pod_security, check_quota)


def mutate(attributes: Attributes, cluster: Cluster) -> None:
    """Run what may change the object, before it is validated; what users wrote comes last."""
    for plugin in _MUTATING:
        plugin(attributes, cluster.store)
    admit_mutating_policies(attributes, cluster)


def check(attributes: Attributes, store: Store) -> None:
    """Run what may only refuse, after it was validated."""
    for plugin in _VALIDATING:
        plugin(attributes, store)
