"""Write the reports of nodes and Jobs as facts."""

import os

from cloudevents.http import CloudEvent

from shared.domain.disposition import Irrelevant, Outcome, ignored
from shared.messages.node_event import parse_log_entry
from shared.messages.pubsub_message import PubsubMessage
from shared.runtime.handler import event_handler
from shared.runtime.log_line import configure_logs
from shared.runtime.observation_wiring import ObservationWiring

configure_logs(os.environ)
wiring = ObservationWiring(os.environ)


@event_handler
def handle_pull_event(event: CloudEvent) -> Outcome:
    """Write the fact of an entry of GKE's logs, if it is relevant."""
    message = PubsubMessage.from_cloud_event(event)
    report = parse_log_entry(message.data)
    if isinstance(report, Irrelevant):
        return ignored(report.reason)
    from shared.pipeline.observe import observe_report

    return observe_report(report, message.publish_time, wiring)
