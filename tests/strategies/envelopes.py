"""Break the delivery around the data: its base64, its times, its ids, its attributes."""

import base64
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from tests.strategies.breaking import TIMES, odd_values

NO_BASE64 = ["=", "a", "a===", "AA==AA==", "-_-_", "é", "AAAA\n", "\x00", " ", "%7B%7D"]
ATTRIBUTES = [
    "status",
    "buildId",
    "image",
    "cause",
    "eventType",
    "logging.googleapis.com/timestamp",
]


class Delivery(dict[str, Any]):
    """The body of a delivery, shown as far as a person reads it."""

    _SHOWN = 2_000

    def __repr__(self) -> str:
        return super().__repr__()[: self._SHOWN]


def envelope(body: bytes, /, **message: Any) -> dict[str, Any]:
    """Return the body of a delivery that was published just now."""
    fields = {
        "data": base64.b64encode(body).decode(),
        "messageId": "m-1",
        "publishTime": datetime.now(UTC).isoformat(),
        **message,
    }
    return {"message": fields, "subscription": "projects/demo/subscriptions/s"}


def broken_envelopes(body: bytes) -> st.SearchStrategy[Delivery]:
    """Return deliveries of data in which a field or two of the message are broken."""
    odd: dict[str, st.SearchStrategy[Any]] = {
        "data": st.one_of(st.sampled_from(NO_BASE64), odd_values()),
        "messageId": odd_values(),
        "publishTime": st.one_of(st.sampled_from(TIMES), odd_values()),
        "attributes": st.one_of(
            odd_values(),
            st.dictionaries(st.sampled_from(ATTRIBUTES), odd_values(), max_size=3),
        ),
        "orderingKey": odd_values(),
        "message_id": odd_values(),
        "publish_time": odd_values(),
    }
    some = st.fixed_dictionaries({}, optional=odd)
    return some.map(lambda message: Delivery(envelope(body, **message)))
