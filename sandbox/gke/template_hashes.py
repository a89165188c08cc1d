"""The hash by which a controller tells the revisions of a pod template apart."""

import hashlib
import json

from sandbox.kubernetes.bodies import Body

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own: no vowels, so that no word appears by chance."""


def hash_template(template: Body, length: int = 10) -> str:
    """Return a short text that is the same for the same template."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])
