"""
The proven mirrors of a cluster: those from which its nodes have pulled.

They are kept in a ConfigMap, the parameter of the policy that rewrites pods. An expression of the
API server reads it and cannot parse JSON or YAML, so an entry is a line of words.

    docker.io: us-central1-docker.pkg.dev/demo/dockerhub-mirror
    nvcr.io: us-central1-docker.pkg.dev/demo/nvcr-io-mirror nvidia/* !nvidia/secret-*
    ghcr.io: off
    quay.io: on us-central1-docker.pkg.dev/demo/quay-io-mirror
    registry.example.com_5000: us-central1-docker.pkg.dev/demo/registry-example-com-5000-mirror
    pullSecrets: skip

The mirror comes first, then patterns of the proven repositories (none means the whole registry),
and, with an exclamation mark, of those that a person pinned off. ``off`` pins a whole upstream off,
``on`` pins the entry as it is. The policy has the same rule for words
(infra/kubernetes/rewriting/policy.yaml).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Literal, Self

PARAMETER_NAME = "proven-mirrors"
"""The name of the ConfigMap, in our namespace."""

PULL_SECRETS_KEY = "pullSecrets"
"""The key of the setting for pods with imagePullSecrets; a host cannot have this name."""

PullSecrets = Literal["skip", "ignore"]

Pin = Literal["on", "off"]

_ON: Final = "on"
_OFF: Final = "off"
_WHITE_SPACE = re.compile(r"[ \n\r\t]+")
_MIRROR = re.compile(r"[a-z0-9-]+-docker[.]pkg[.]dev(?:/[a-z0-9]+(?:(?:[.]|-+)[a-z0-9]+)*){2,3}")
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9._*-]*(?:/[a-z0-9*][a-z0-9._*-]*)*")


class InvalidProofError(ValueError):
    """The value of an entry has an invalid form, so it proves nothing."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The entry of one upstream's mirror in a cluster."""

    mirror: str = ""
    """``HOST/PROJECT/REPOSITORY_ID``; may be empty if the upstream is pinned off."""
    paths: tuple[str, ...] = ()
    """Patterns of the proven repositories; empty for all of them."""
    excluded: tuple[str, ...] = ()
    """Patterns of the repositories that a person pinned off."""
    pin: Pin | None = None
    """The decision of a person; ``None`` if the entry follows the observed pulls."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Parse the value of an entry.

        Raises:
            InvalidProofError: The value has an invalid form.

        >>> Proof.parse("us-docker.pkg.dev/demo/nvcr-io-mirror nvidia/* !nvidia/tao").excluded
        ('nvidia/tao',)
        >>> Proof.parse("off").pin
        'off'
        """
        words = [word for word in _WHITE_SPACE.split(text) if word]
        pin: Pin | None = _OFF if _OFF in words else _ON if _ON in words else None
        mirror, *patterns = [word for word in words if word not in {_ON, _OFF}] or [""]
        if not _MIRROR.fullmatch(mirror) and not (pin == _OFF and mirror == ""):
            raise InvalidProofError(f"not LOCATION-docker.pkg.dev/PROJECT/REPOSITORY: {mirror!r}")
        invalid = [each for each in patterns if not _PATTERN.fullmatch(each.removeprefix("!"))]
        if invalid:
            raise InvalidProofError(f"not a pattern over repositories: {invalid[0]!r}")
        return cls(
            mirror=mirror,
            paths=tuple(each for each in patterns if not each.startswith("!")),
            excluded=tuple(each[1:] for each in patterns if each.startswith("!")),
            pin=pin,
        )

    def __str__(self) -> str:
        excluded = (f"!{pattern}" for pattern in self.excluded)
        return " ".join(filter(None, (self.pin, self.mirror, *self.paths, *excluded)))

    def covers(self, repository: str) -> bool:
        """
        Whether pods may pull a repository of the upstream from the mirror.

        >>> Proof("us-docker.pkg.dev/demo/nvcr-io-mirror", ("nvidia/*",)).covers("acme/app")
        False
        """
        if self.pin == _OFF or any(fnmatchcase(repository, each) for each in self.excluded):
            return False
        return not self.paths or any(fnmatchcase(repository, each) for each in self.paths)


@dataclass(frozen=True, slots=True)
class ProvenMirrors:
    """The content of the ConfigMap."""

    proofs: Mapping[str, Proof] = field(default_factory=dict)
    """The valid entries, by the upstream registry's host."""
    pull_secrets: PullSecrets = "skip"
    """Whether pods with imagePullSecrets are skipped."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """The problem of each invalid entry, by its key."""

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Self:
        """Read the ``data`` of the ConfigMap; an invalid entry does not affect the others."""
        proofs: dict[str, Proof] = {}
        broken: dict[str, str] = {}
        for key, text in data.items():
            if key == PULL_SECRETS_KEY:
                continue
            try:
                proofs[host_of(key)] = Proof.parse(text)
            except InvalidProofError as exc:
                broken[key] = str(exc)
        is_ignored = data.get(PULL_SECRETS_KEY, "").strip() == "ignore"
        return cls(proofs, "ignore" if is_ignored else "skip", broken)

    def to_data(self) -> dict[str, str]:
        """Return the ``data`` of the ConfigMap, with the valid entries."""
        entries = {key_of(host): str(proof) for host, proof in sorted(self.proofs.items())}
        return {PULL_SECRETS_KEY: self.pull_secrets, **entries}


def key_of(host: str) -> str:
    """
    Return the key of an upstream: a key cannot contain a colon, and a host no underscore.

    >>> key_of("registry.example.com:5000")
    'registry.example.com_5000'
    """
    return host.replace(":", "_")


def host_of(key: str) -> str:
    """
    Return the upstream of a key.

    >>> host_of("registry.example.com_5000")
    'registry.example.com:5000'
    """
    return key.replace("_", ":")
