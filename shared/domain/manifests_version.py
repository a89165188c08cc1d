"""The version of the manifests in ``infra/kubernetes``, which is a label of our namespace."""

from collections.abc import Mapping
from typing import Any, Final

from shared.domain.json_access import field_at, number_of

MANIFESTS_VERSION: Final = 2
"""
The version that this release needs; each change of a right increases it.

A release uses a right that only this version grants so that its absence is no error.
"""

VERSION_LABEL: Final = "prestream.dev/manifests-version"


def read_version(namespace: Mapping[str, Any] | None) -> int:
    """
    Return the version of the manifests that were applied, by the body of our namespace.

    The first version has no label, and does not let the functions read the namespace.
    """
    return number_of(field_at(namespace, ["metadata", "labels", VERSION_LABEL])) or 1
