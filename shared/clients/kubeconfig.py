"""Reach a cluster through a context of a kubeconfig."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.clients.kubernetes_api import make_configuration
from shared.clients.vendor_import import IMPORTING
from shared.domain.cluster import ClusterName
from shared.errors import ConfigurationError


def connect_by_kubeconfig(path: str, name: ClusterName, context: str | None = None) -> Any:
    """
    Return a Kubernetes client for a cluster.

    The client uses the given context, otherwise the one that gcloud names after the cluster,
    otherwise the only one in the file.

    Args:
        path: One path, or several in the form of ``KUBECONFIG``.
        name: The cluster.
        context: A context of the file; its name need not match the cluster.

    Raises:
        ConfigurationError: The file cannot be read, or lacks a context for the cluster.
    """
    with _reading(path) as merged:
        with IMPORTING:
            from kubernetes.client import ApiClient
            from kubernetes.config.kube_config import KubeConfigLoader

        known = [str(each["name"]) for each in merged.value["contexts"]]
        configuration = make_configuration()
        KubeConfigLoader(
            config_dict=merged,
            active_context=context or _choose(known, path, name),
            config_base_path=None,
        ).load_and_set(configuration)
        return ApiClient(configuration)


def read_contexts(path: str) -> list[str]:
    """
    Return the names of all contexts.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    with _reading(path) as merged:
        return [str(each["name"]) for each in merged.value["contexts"]]


def read_current_context(path: str) -> str:
    """
    Return the current context of kubectl.

    Raises:
        ConfigurationError: The file cannot be read, or does not name a current context.
    """
    with _reading(path) as merged:
        current = merged.value.get("current-context")
    if not current:
        raise ConfigurationError(f"KUBECONFIG {path!r} has no current context")
    return str(current)


@contextmanager
def _reading(path: str) -> Iterator[Any]:
    """Merge the files of a path; every problem with them is the same error."""
    with IMPORTING:
        import yaml
        from kubernetes import config
        from kubernetes.config.kube_config import KubeConfigMerger

    try:
        # The public functions require a current context, which is often missing.
        merged = KubeConfigMerger(path).config
        if merged is None:
            raise ConfigurationError(f"KUBECONFIG {path!r} does not exist")
        yield merged
    except (config.ConfigException, OSError, yaml.YAMLError, ValueError) as exc:
        raise ConfigurationError(f"cannot use KUBECONFIG {path!r}: {exc}") from exc
    except (AttributeError, LookupError, TypeError, RecursionError) as exc:
        # The loader does not check the types of fields.
        raise ConfigurationError(f"KUBECONFIG {path!r} is not a kubeconfig: {exc!r}") from exc


def _choose(known: list[str], path: str, name: ClusterName) -> str:
    if name.context in known:
        return name.context
    if len(known) == 1:
        return known[0]
    raise ConfigurationError(
        f"KUBECONFIG {path!r} has no context {name.context!r} for cluster {name}; it has"
        f" {', '.join(sorted(known)) or 'none'}: run gcloud container clusters get-credentials"
    )
