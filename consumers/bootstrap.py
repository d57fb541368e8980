"""Settings → clock, database, log, meaning, connections, channels, processes.

The one place where real things are plugged in. Each part is made when it is first asked for, so
a command that lists alerts opens no connections file. Tests and the demo pass another clock,
channels or connections; nothing is patched.
"""

# The doors are imported where they are made: a command that lists silences would otherwise wait
# for a web framework and an HTTP client that it never uses.
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from consumers.settings import Settings
from journey.clock import Clock, SystemClock
from journey.database import Database, open_database
from journey.journey_log import JourneyLog
from journey.vault import Vault, master_key
from projections.contradictions.fold import compile_rules
from projections.contradictions.rule import FIRST_PACK, load_rules
from projections.projection import Meaning
from projections.queries import Queries
from projections.silence.policy import DEFAULT_POLICIES, load_policies

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from consumers.alert_channels.channel import Channel
    from consumers.alert_notifier import Notifier
    from consumers.alert_sweeper import Sweeper
    from consumers.connections import Connections
    from consumers.ingest import Ingest
    from consumers.kafka_stream.cluster import Cluster
    from consumers.kafka_stream.ingest import KafkaIngest
    from consumers.kafka_stream.lag import LagWatch
    from consumers.kafka_stream.lanes import KafkaProject
    from consumers.kafka_stream.publish import Publisher
    from consumers.pollers.poll import Polls
    from consumers.repair import Repair
    from consumers.webhooks.group_commit import Keeper
    from projections.alerts.alert_log import AlertLog
    from projections.runner import Runner


class Installation:
    """Everything of one tenant, plugged together by its settings.

    Asking for a part may raise ConfigurationError, DatabaseUnavailable or MigrationError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
        connections: Connections | None = None,
        channels: Sequence[Channel] | None = None,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._environment = os.environ if environment is None else environment
        self._connections = connections
        self._channels = channels

    # --- facts and meaning ------------------------------------------------------------------

    @cached_property
    def database(self) -> Database:
        """The tenant's database, migrated; the embedded server is started or joined."""
        settings = self.settings
        return open_database(settings.home, settings.database_url, settings.tenant)

    @cached_property
    def vault(self) -> Vault:
        """Seals and unseals with the master key."""
        settings = self.settings
        embedded = settings.database_url is None
        return Vault(master_key(settings.master_key, settings.home, embedded=embedded))

    @cached_property
    def log(self) -> JourneyLog:
        """The event log."""
        region = self.settings.phone_region
        return JourneyLog(self.database, self.vault, self.clock, phone_region=region)

    @cached_property
    def meaning(self) -> Meaning:
        """Policies and rules: ours, and those of the installation's own folders."""
        settings = self.settings
        policies = load_policies(
            [DEFAULT_POLICIES, *([settings.policies] if settings.policies else [])]
        )
        rules = load_rules([FIRST_PACK, *([settings.rules] if settings.rules else [])])
        # Rules measure by the same calendars as policies, so one file sets an office's hours.
        return Meaning(policies, compile_rules(rules, policies.calendars))

    @cached_property
    def queries(self) -> Queries:
        """The questions that CLI and web ask."""
        return Queries(self.database, self.log, self.meaning)

    @cached_property
    def alerts(self) -> AlertLog:
        """The alerts, with an outbox for every channel."""
        from projections.alerts.alert_log import AlertLog

        return AlertLog(self.database, [channel.name for channel in self.channels])

    # --- doors ------------------------------------------------------------------------------

    @cached_property
    def cluster(self) -> Cluster:
        """Kafka, as the settings name it. Raises ConfigurationError when they name none."""
        from consumers.kafka_stream.cluster import Cluster

        return Cluster.from_settings(self.settings)

    @cached_property
    def connections(self) -> Connections:
        """Who may deliver."""
        if self._connections is not None:
            return self._connections
        from consumers.ats_adapters import ALL_ADAPTERS
        from consumers.connections import load_connections

        return load_connections(
            self.settings.connections, self._environment, known_sources=ALL_ADAPTERS
        )

    @cached_property
    def channels(self) -> Sequence[Channel]:
        """Where alerts are told: always the console, and the webhook when one is set."""
        if self._channels is not None:
            return self._channels
        from consumers.alert_channels.console import ConsoleChannel
        from consumers.alert_channels.webhook import WebhookChannel

        channels: list[Channel] = [ConsoleChannel()]
        settings = self.settings
        if settings.alert_webhook_url and settings.alert_webhook_secret:
            secrets = [part.strip() for part in settings.alert_webhook_secret.split(",")]
            channels.append(WebhookChannel(settings.alert_webhook_url, secrets))
        return channels

    @cached_property
    def receiver(self) -> FastAPI:
        """The receiver as a web app."""
        from consumers.ats_adapters import ALL_ADAPTERS
        from consumers.webhooks.app import create_app

        return create_app(
            self._receivers_database,
            self.connections,
            ALL_ADAPTERS,
            self.clock,
            max_body_bytes=self.settings.max_body_bytes,
            refused_keep=self.settings.refused_keep,
            keeper=self._keeper,
            status=self._status,
            metrics=self._metrics,
        )

    @property
    def _receivers_database(self) -> Database:
        """With Kafka a receiver must start while the server is away; others migrate it."""
        settings = self.settings
        if not settings.kafka or settings.database_url is None or "database" in self.__dict__:
            return self.database
        return Database(settings.database_url, settings.tenant)

    @property
    def _keeper(self) -> Keeper | None:
        """Kafka where it is set, the inbox in its place while it is away; None is the inbox."""
        if not self.settings.kafka:
            return None
        from consumers.kafka_stream.keeper import KafkaKeeper
        from consumers.webhooks.group_commit import GroupCommit

        instead = None
        if self.settings.kafka_fallback == "database":
            instead = GroupCommit(self._receivers_database, refused_keep=self.settings.refused_keep)
        return KafkaKeeper(self.cluster, self.connections, self.clock, instead=instead)

    @cached_property
    def polls(self) -> Polls:
        """What systems do not push, asked for and put into the inbox."""
        from consumers.pollers.poll import Polls

        return Polls(self.database, self.connections, self.clock)

    @cached_property
    def ingest(self) -> Ingest:
        """Deliveries in, touchpoints in the log."""
        from consumers.ingest import Ingest

        return Ingest(self.database, self.log, self.connections, self.clock)

    @cached_property
    def ingest_process(self) -> Ingest | KafkaIngest:
        """What `journey run ingest` runs: from the inbox, and from Kafka where it is set."""
        if not self.settings.kafka:
            return self.ingest
        from consumers.kafka_stream.ingest import KafkaIngest

        return KafkaIngest(
            self.database,
            self.log,
            self.connections,
            self.clock,
            self.cluster,
            limit=self.settings.dead_letter_limit,
        )

    @cached_property
    def repair(self) -> Repair:
        """Deliveries read anew, what differs corrected in the log."""
        from consumers.repair import Repair

        return Repair(self.database, self.log, self.connections, self.clock)

    @cached_property
    def runner(self) -> Runner:
        """Touchpoints in, views up to date."""
        from projections.runner import Runner

        return Runner(self.database, self.meaning, lanes=self.settings.project_lanes)

    @cached_property
    def project_process(self) -> Runner | KafkaProject:
        """What `journey run project` runs: all lanes, or those a consumer group gives it."""
        if not self.settings.kafka or self.settings.project_lanes == 1:
            return self.runner
        from consumers.kafka_stream.lanes import KafkaProject

        return KafkaProject(self.runner, self.cluster)

    @cached_property
    def sweeper(self) -> Sweeper:
        """Passed deadlines in, alerts out."""
        from consumers.alert_sweeper import Sweeper
        from projections.alerts.explanation import explainer

        return Sweeper(self.database, self.clock, self.alerts, explainer(self.meaning))

    @cached_property
    def notifier(self) -> Notifier:
        """Alerts out to the channels."""
        from consumers.alert_notifier import Notifier

        return Notifier(self.database, self.clock, self.channels)

    @cached_property
    def lag_watch(self) -> LagWatch:
        """How far the consumer groups are, asked of Kafka without keeping anyone waiting."""
        from consumers.kafka_stream.lag import LagWatch

        return LagWatch(self.cluster)

    @cached_property
    def publisher(self) -> Publisher:
        """Touchpoints out to Kafka, for other teams."""
        from consumers.kafka_stream.publish import TOUCHPOINTS_FEED, Publisher

        return Publisher(self.database, self.cluster, TOUCHPOINTS_FEED)

    @cached_property
    def alerts_publisher(self) -> Publisher:
        """What happened to alerts out to Kafka."""
        from consumers.kafka_stream.alerts import ALERTS_FEED
        from consumers.kafka_stream.publish import Publisher

        return Publisher(self.database, self.cluster, ALERTS_FEED)

    @cached_property
    def web(self) -> ASGIApp:
        """The pages for those who look after the installation, as a web app."""
        from consumers.web.app import create_app

        return create_app(self)

    def close(self) -> None:
        """Give back what was opened."""
        for name in ("log", "alerts", "polls"):
            if name in self.__dict__:
                getattr(self, name).close()
        if "database" in self.__dict__:
            self.database.close()

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _status(self) -> dict[str, Any]:
        from consumers.figures import status

        return status(self)

    def _metrics(self) -> str:
        from consumers.metrics import metrics

        return metrics(self)


def installation(clock: Clock | None = None) -> Installation:
    """The installation that the environment describes. Raises ConfigurationError."""
    return Installation(Settings.from_environment(os.environ), clock=clock)
