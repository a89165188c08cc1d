"""A cluster's state and its controllers, put together."""

from sandbox.clock import Clock
from sandbox.kubernetes.admission.quota_status import QuotaStatus
from sandbox.kubernetes.audit import AuditLog
from sandbox.kubernetes.authorization import Authorizer
from sandbox.kubernetes.bootstrap import furnish
from sandbox.kubernetes.cluster import Cluster
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.garbage import GarbageCollector
from sandbox.kubernetes.lifecycle import DefinitionLifecycle, NamespaceLifecycle
from sandbox.kubernetes.resources import Resources
from sandbox.kubernetes.store import Store


def assemble(clock: Clock) -> Engine:
    """Make the engine of a new cluster, with what every cluster holds from the beginning."""
    store = Store()
    cluster = Cluster(store, clock, Resources())
    engine = Engine(cluster, AuditLog(clock), Authorizer(store))
    for follower in (
        NamespaceLifecycle(engine),
        DefinitionLifecycle(engine),
        GarbageCollector(engine),
        QuotaStatus(engine),
    ):
        engine.add_follower(follower.follow)
    furnish(engine)
    return engine
