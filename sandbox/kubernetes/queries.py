"""Lists, in pages."""

import base64
import binascii
import json
from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import Predicate, select
from sandbox.kubernetes.statuses import ApiError, bad_request, expired
from sandbox.kubernetes.store import Name, Store, Stored

_EXPIRED_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can "  # noqa: S105
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a list."""

    resource: Resource
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    revision: int
    listed: tuple[Stored, ...]
    continue_token: str = ""
    remaining: int = 0

    def metadata(self) -> Body:
        """Return the metadata of the list."""
        metadata: Body = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def list_page(store: Store, query: Query) -> Page:
    """
    Return a page of a list; all pages show the state of the first page.

    Raises:
        ApiError: 400 for a selector or token that cannot be read, 410 for one that is too old.
    """
    matches = select(query.resource, query.label_selector, query.field_selector)
    with store.lock:
        revision, start = _position(store, query)
        objects = store.at(query.resource.key, revision)
    chosen = sorted(
        (name, stored)
        for name, stored in objects.items()
        if _is_wanted(query, name, start) and matches(stored.body)
    )
    page = chosen[: query.limit] if query.limit else chosen
    left = len(chosen) - len(page)
    if not left:
        return Page(revision, tuple(stored for _, stored in page))
    token = _token(revision, page[-1][0])
    selected = query.label_selector or query.field_selector
    return Page(revision, tuple(one for _, one in page), token, 0 if selected else left)


def _is_wanted(query: Query, name: Name, start: Name | None) -> bool:
    if query.namespace and name[0] != query.namespace:
        return False
    return start is None or name > start


def _position(store: Store, query: Query) -> tuple[int, Name | None]:
    """Return the revision to list, and the name after which the page begins."""
    if not query.continue_token:
        return store.revision, None
    try:
        token = json.loads(base64.urlsafe_b64decode(query.continue_token))
        revision, start = int(token["rv"]), (str(token["start"][0]), str(token["start"][1]))
    except (binascii.Error, ValueError, KeyError, TypeError, IndexError) as exc:
        raise bad_request(f"continue key is not valid: {exc}") from exc
    try:
        store.check_reach(revision, _EXPIRED_TOKEN)
    except ApiError as exc:
        error = expired(_EXPIRED_TOKEN)
        error.status["metadata"] = {"continue": _token(store.revision, start)}
        raise error from exc
    return revision, start


def _token(revision: int, start: Name) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode()


def list_text(store: Store, query: Query) -> bytes:
    """Return a list as text, without decoding its items."""
    page = list_page(store, query)
    resource = query.resource
    head = encode(
        {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": page.metadata(),
        }
    )
    listed = b",".join(stored.as_item() for stored in page.listed)
    return head[:-1] + b',"items":[' + listed + b"]}"


def matching(query: Query) -> Predicate:
    """Return the test of a watch: its selectors and its namespace."""
    matches = select(query.resource, query.label_selector, query.field_selector)
    if not query.namespace:
        return matches
    namespace = query.namespace
    return lambda body: body["metadata"].get("namespace") == namespace and matches(body)
