"""Handle image references: create the mirror, resolve the digest, and create the warmup Job."""

import os
from datetime import UTC, datetime, timedelta

from cloudevents.http import CloudEvent

from shared.domain.cluster import ClusterName, UnknownClusterError, is_watched
from shared.domain.disposition import TOO_OLD, Outcome, ignored, is_too_old
from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs
from shared.runtime.warmup_wiring import WarmupWiring

configure_logs(os.environ)
wiring = WarmupWiring(os.environ)


@event_handler
def handle_image_reference(event: CloudEvent) -> Outcome:
    """Warm the image in the cluster that the message names, or publish it for each region."""
    message = PubsubMessage.from_cloud_event(event)
    request = parse_reference_request(message)
    settings = wiring.settings
    max_age = timedelta(hours=settings.max_event_age_hours)
    if is_too_old(message.publish_time, datetime.now(UTC), max_age):
        return ignored(TOO_OLD, image=request.image)
    if request.cluster is None:
        return wiring.spreading.spread(request)
    if not is_watched(request.cluster, settings.clusters):
        return ignored("the cluster is not watched", image=request.image, cluster=request.cluster)
    from shared.pipeline.warm import Delivery

    delivery = Delivery(request, message.message_id, message.publish_time)
    try:
        return wiring.warmer.warm(delivery, ClusterName.parse(request.cluster))
    except UnknownClusterError as exc:
        return ignored(str(exc), image=request.image)
