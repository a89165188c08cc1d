"""The error of a service, for a person: the cause, and the command that fixes it."""

import re

from cli.terminal import harmless

LOGIN = "gcloud auth application-default login"

_MISSING = "default credentials were not found"
_UNUSABLE = re.compile(r"cannot find the function's credentials: (.*)", re.DOTALL)
_EXPIRED = re.compile(r"Reauthentication is needed|invalid_grant|Token has been expired or revoked")
_POOL = re.compile(r"HTTPS?ConnectionPool\(host='([^']*)', port=(\d+)\).*", re.DOTALL)
_CAUSES = {
    "refused": "it refuses connections",
    "resolve": "its name cannot be resolved",
    "resolution": "its name cannot be resolved",
    "not known": "its name cannot be resolved",
    "timed out": "no answer in time",
    "certificate": "its certificate is not accepted",
}


def explain(error: Exception | str) -> str:
    """
    Return the error of a service in the words of a command.

    >>> explain("cannot read log x: Your default credentials were not found. To set up …")
    'credentials are missing: run gcloud auth application-default login'
    >>> pool = "HTTPSConnectionPool(host='10.0.0.1', port=443): Max retries exceeded"
    >>> explain(f"cannot list jobs: {pool} with url: / (… Connection refused)")
    'cannot list jobs: 10.0.0.1:443 does not answer (it refuses connections)'
    """
    text = str(error)
    if _MISSING in text:
        return f"credentials are missing: run {LOGIN}"
    if found := _UNUSABLE.search(text):
        return f"credentials are missing: {harmless(found[1])} Run {LOGIN}"
    if _EXPIRED.search(text):
        return f"credentials have expired: run {LOGIN}"
    return harmless(_POOL.sub(_describe_pool, text))


def _describe_pool(found: re.Match[str]) -> str:
    causes = [words for sign, words in _CAUSES.items() if sign in found[0]]
    return f"{found[1]}:{found[2]} does not answer" + (f" ({causes[0]})" if causes else "")
