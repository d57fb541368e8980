"""The alerts process: what happened to alerts out to `journey.alerts`, keyed by candidate.

The publisher of touchpoints on another log. Nothing in it is personal: opaque ids, kinds, times,
codes, and the sentence that explains an alert.
"""

from __future__ import annotations

from consumers.kafka_stream.messages import alert_record
from consumers.kafka_stream.publish import Feed
from consumers.kafka_stream.topics import ALERTS

# Positions of this log come from a sequence, so a transaction that was taken back leaves a gap,
# which nobody minds. They are committed in their order all the same: whoever appends holds the
# table's lock from before the first number is drawn until the commit (`AlertRecorder.append`).
ALERTS_FEED = Feed(
    name="alerts",
    topic=ALERTS,
    wakes="alert_events",
    head="SELECT coalesce(max(notification_id), 0) FROM alert_events",
    page=(
        "SELECT e.notification_id, a.candidate_id, a.alert_id, e.originator_version, e.topic, "
        "e.state FROM alert_events e JOIN alerts a ON a.alert_id = e.originator_id "
        "WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"
    ),
    record=lambda row: alert_record(*row),
)

__all__ = ["ALERTS_FEED"]
