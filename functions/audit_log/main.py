"""Handle entries of GKE's audit log."""

import os

from cloudevents.http import CloudEvent

from shared.domain.disposition import Outcome
from shared.messages.audit_entry import AuditEntry
from shared.messages.pubsub_message import PubsubMessage
from shared.pipeline.detect import detect_write
from shared.runtime.detector_wiring import DetectorWiring
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs

configure_logs(os.environ)
wiring = DetectorWiring(os.environ)


@event_handler
def handle_audit_log(event: CloudEvent) -> Outcome:
    """Publish the images of a workload that was created or changed."""
    message = PubsubMessage.from_cloud_event(event)
    return detect_write(AuditEntry.from_message(message), message.publish_time, wiring)
