"""
The tokens with which an anonymous client reads a repository of Docker Hub.

https://distribution.github.io/distribution/spec/auth/token/
"""

import json

from shared.domain.image_reference import ImageReference


def token_url(reference: ImageReference) -> str:
    """
    Return the address of a token to pull from a repository.

    >>> from shared.domain.image_reference import parse_reference
    >>> token_url(parse_reference("nginx"))
    'https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/nginx:pull'
    """
    scope = f"repository:{reference.repository}:pull"
    return f"https://auth.docker.io/token?service=registry.docker.io&scope={scope}"


def parse_token(body: bytes) -> str | None:
    """
    Return the token in an answer; ``None`` if it has none.

    >>> parse_token(b'{"token": "abc"}'), parse_token(b"<html>")
    ('abc', None)
    """
    try:
        token = json.loads(body)["token"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else None
