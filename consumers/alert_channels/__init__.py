"""Where alerts are told: a file a channel, and the list of them."""

from __future__ import annotations

from consumers.alert_channels.channel import Channel
from consumers.alert_channels.console import ConsoleChannel
from consumers.alert_channels.webhook import WebhookChannel

ALL_CHANNELS: dict[str, type[Channel]] = {
    ConsoleChannel.name: ConsoleChannel,
    WebhookChannel.name: WebhookChannel,
}
"""Name in the outbox → class."""
