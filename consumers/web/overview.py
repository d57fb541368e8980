"""The overview: how an installation does, section by section, for those who look after it.

Figures from the database and from Kafka, and beside them what `journey doctor` complains about.
Nothing in it is about a candidate. The page and its twin in JSON are made of the same `Overview`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from consumers.bootstrap import Installation
from consumers.figures import Figures, figures, polls, published
from consumers.health.check import Check, Status
from consumers.health.examine import glance, summary
from consumers.inbox import STATUSES
from consumers.pollers.standing import Standing
from consumers.web.document import Cell, E, Node, document, moment, paragraph, status_word, table
from projections.feeds.fold import Feed
from projections.feeds.view import feeds_of

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import FeedLag, KafkaLag

Rows = Iterable[Mapping[str, Cell]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one shape. A key in `_seconds` is a length of time, in whole seconds."""

    title: str
    rows: tuple[Mapping[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the installation. `status` is the gravest of its checks.

    `meaning` says what the figures are and what to do when it is not well; `complaints` are the
    checks that are not ok.
    """

    title: str
    status: Status
    meaning: str
    complaints: tuple[Check, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at a moment. `sections` by name, in the order in which data goes through them."""

    told_at: datetime
    status: Status
    summary: str
    sections: Mapping[str, Section]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was looked at. `kafka` is None without Kafka."""

    now: datetime
    figures: Figures
    feeds: Sequence[Feed]
    polls: Mapping[str, Standing]
    published: Sequence[FeedLag]
    kafka: KafkaLag | None
    checks: Sequence[Check]

    def seconds(self, since: datetime | None) -> int | None:
        """How long something waits."""
        return None if since is None else max(0, int((self.now - since).total_seconds()))

    def oldest(self, since: datetime | None, is_known: bool = True) -> dict[str, Cell]:
        """Since when and how long something waits; a None would say that nothing does."""
        if not is_known:
            return {"oldest_since": "not told in time", "waits_seconds": "not told in time"}
        return {"oldest_since": since, "waits_seconds": self.seconds(since)}


def overview(installation: Installation) -> Overview:
    """How it does now. Raises DatabaseUnavailable; a broker that is away is part of the answer."""
    # Before the transaction: a broker that is away takes its time.
    kafka = installation.lag_watch.now() if installation.settings.kafka else None
    now = installation.clock.now()
    with installation.database.reading() as connection:
        counted = figures(connection, now)
        found = _Found(
            now,
            counted,
            feeds_of(connection),
            polls(installation, connection, now),
            published(installation, connection),
            kafka,
            tuple(glance(installation, connection, counted, kafka, now)),
        )
    sections = dict(_sections(found))
    return Overview(now, _gravest(found.checks), summary(found.checks), sections)


def _sections(found: _Found) -> Iterator[tuple[str, Section]]:
    """Each section by name; those of Kafka only where there is one."""
    for name, (title, meaning, tables) in _SECTIONS.items():
        if found.kafka is None and name in _OF_KAFKA:
            continue
        checks = [each for each in found.checks if _section_of(each) == name]
        complaints = tuple(each for each in checks if each.status != "ok")
        made = tuple(Table(told, tuple(rows)) for told, rows in tables(found))
        yield name, Section(title, _gravest(checks), meaning, complaints, made)


def _gravest(checks: Iterable[Check]) -> Status:
    found = {each.status for each in checks}
    return "wrong" if "wrong" in found else "note" if "note" in found else "ok"


_OF_KAFKA = ("kafka", "published")
_BELONGS = {
    "inbox": "deliveries",
    "dead letters": "deliveries",
    "refused": "deliveries",
    "poll": "polls",
    "projections": "projections",
    "meaning": "projections",
    "sweeper": "alerts",
    "notifier": "alerts",
    "kafka-lag publish": "published",
    "kafka-lag alerts": "published",
}


def _section_of(check: Check) -> str:
    """Where a check is told; what belongs to no other section is about the set-up."""
    if check.check in _BELONGS:
        return _BELONGS[check.check]
    if check.check.startswith("kafka-lag"):
        return "kafka"
    return "feeds" if check.check.startswith("feed") else "setup"


# --- the tables of each section -----------------------------------------------------------------


def _deliveries(found: _Found) -> Iterator[tuple[str, Rows]]:
    yield (
        "Deliveries in the inbox, by what became of them",
        [{"status": status, "deliveries": found.figures.inbox[status]} for status in STATUSES],
    )
    groups = found.kafka.groups if found.kafka is not None else ()
    waits = [("inbox", found.figures.pending_since, True)]
    waits += [(f"Kafka, {each.group}", each.oldest_at, each.is_oldest_known) for each in groups]
    yield (
        "The oldest delivery that nobody has handled",
        [{"where": where, **found.oldest(since, known)} for where, since, known in waits],
    )


def _polls(found: _Found) -> Iterator[tuple[str, Rows]]:
    yield (
        "Connections that are polled",
        [
            {
                "connection": name,
                "read_to_the_end_at": each.poll.finished_at if each.poll else None,
                "next_at": each.poll.next_at if each.poll else None,
                "to_be_asked_about": each.waiting,
                "problem": each.problem,
            }
            for name, each in found.polls.items()
        ],
    )
    yield (
        "How far each list is read",
        [
            {"connection": name, "list": cursor.endpoint, "read_up_to": cursor.cursor_at}
            for name, each in found.polls.items()
            for cursor in each.lists
        ],
    )


def _projections(found: _Found) -> Iterator[tuple[str, Rows]]:
    told = found.figures
    yield (
        "Positions",
        [
            {"where": "log", "position": told.position, "lag_touchpoints": 0},
            {
                "where": "projections",
                "position": told.projected,
                "lag_touchpoints": told.lag_touchpoints,
            },
        ],
    )
    if len(told.lanes) > 1:
        yield (
            "Lag by lane",
            [{"lane": n, "lag_touchpoints": lag} for n, lag in enumerate(told.lag_by_lane)],
        )


def _feeds(found: _Found) -> Iterator[tuple[str, Rows]]:
    yield (
        "Sources",
        [
            {
                "source": each.source,
                "touchpoints": each.touchpoints,
                "last_heard_at": each.last_recorded_at,
                "heard_ago_seconds": found.seconds(each.last_recorded_at),
            }
            for each in found.feeds
        ],
    )


def _alerts(found: _Found) -> Iterator[tuple[str, Rows]]:
    told = found.figures
    yield "Alerts", [{"state": state, "alerts": count} for state, count in told.alerts.items()]
    waiting = (
        ("deadlines that passed, for the sweeper", told.deadlines_due, told.due_since),
        ("messages, to be sent", told.messages_waiting, told.waiting_since),
        ("messages, given up", told.messages_given_up, None),
    )
    yield (
        "What waits",
        [{"what": what, "count": count, **found.oldest(since)} for what, count, since in waiting],
    )


def _kafka(found: _Found) -> Iterator[tuple[str, Rows]]:
    if found.kafka is None or found.kafka.problem is not None:
        # Nothing is known then, which is not the same as nothing that waits.
        return
    groups = found.kafka.groups
    yield (
        "Consumer groups",
        [
            {
                "group": each.group,
                "lag_records": each.lag_records,
                "ran_out_records": each.ran_out_records,
                **found.oldest(each.oldest_at, each.is_oldest_known),
            }
            for each in groups
        ],
    )
    yield (
        "Lag by group and partition",
        [
            {
                "group": group.group,
                "partition": each.name,
                "committed": each.committed,
                "end": each.end,
                "lag_records": each.lag_records,
            }
            for group in groups
            for each in group.partitions
        ],
    )


def _published(found: _Found) -> Iterator[tuple[str, Rows]]:
    yield (
        "Topics for other teams",
        [
            {
                "topic": each.topic,
                "position": each.position,
                "lag_positions": each.lag_positions,
                "next_recorded_at": each.since,
                "waits_seconds": found.seconds(each.since),
            }
            for each in found.published
        ],
    )


def _setup(found: _Found) -> Iterator[tuple[str, Rows]]:
    yield (
        "What was looked at",
        [
            {"check": each.check, "status": each.status, "found": each.found}
            for each in found.checks
            if _section_of(each) == "setup"
        ],
    )


_SECTIONS = {
    "deliveries": (
        "Deliveries",
        "What arrived, and what became of it. Pending ones wait for ingest: when the oldest waits "
        "longer than five minutes, start `journey run ingest` and read its log. Dead ones could "
        "not be translated: `journey deliveries list --status dead` says why.",
        _deliveries,
    ),
    "kafka": (
        "Kafka",
        "How many records each consumer group has not handled. When it grows, start more of the "
        "process that the group is named for, up to as many as there are partitions. What ran out "
        "of a topic before it was handled has to be asked for again. When nothing is told, see "
        "whether the broker runs.",
        _kafka,
    ),
    "polls": (
        "Polls",
        "How far the systems are read that do not push everything. A connection that stands still "
        "or has a problem needs `journey run poll`, or a new key in that system.",
        _polls,
    ),
    "feeds": (
        "Feeds",
        "Which sources have told something, and when last. One that has fallen silent against its "
        "habit has perhaps lost its webhook or its secret: see `journey deliveries list --status "
        "refused`, then the settings of that system.",
        _feeds,
    ),
    "projections": (
        "Log and projections",
        "Up to where touchpoints are recorded, and up to where the views have read them. What the "
        "views have not read nobody is alerted about: when the lag does not shrink, start `journey "
        "run project` and read its log.",
        _projections,
    ),
    "alerts": (
        "Alerts",
        "What people must see, and what is not sent to them yet. Deadlines that wait need `journey "
        "run sweep`, messages `journey run notify`; for those that were given up mend the channel, "
        "and see `journey alerts`.",
        _alerts,
    ),
    "published": (
        "Published",
        "Up to where other teams can read the log on Kafka. When a topic lags behind, start "
        "`journey run publish` for touchpoints or `journey run alerts` for alerts, and read its "
        "log.",
        _published,
    ),
    "setup": (
        "Set-up",
        "What the installation stands on. `journey doctor` looks at more, such as gaps in the log, "
        "the topics of Kafka and the master key; run it when something here is not ok.",
        _setup,
    ),
}
"""Name → title, meaning, and what makes its tables."""


# --- the page -----------------------------------------------------------------------------------


def overview_page(found: Overview) -> str:
    """The overview to read."""
    return document(
        f"{found.summary} Candidate journey",
        E.header(
            E.h1("How this installation does"),
            paragraph(found.summary, status_word(found.status), " "),
            E.p("Seen at ", moment(found.told_at), ". ", _link("/index.json", "The same as JSON")),
        ),
        E.nav(
            {"aria-label": "Sections"},
            E.ul(
                *(
                    E.li(_link(f"#{name}", each.title), " ", status_word(each.status))
                    for name, each in found.sections.items()
                )
            ),
        ),
        E.main(*(_section(name, each, found) for name, each in found.sections.items())),
        E.footer(
            E.p(
                _link("/-/status", "Status"),
                " · ",
                _link("/-/metrics", "Metrics for Prometheus"),
                " · ",
                _link("/-/openapi.json", "OpenAPI"),
            )
        ),
    )


def _section(name: str, told: Section, found: Overview) -> Node:
    complaints = [
        E.li(
            paragraph(
                f"{each.check}: {each.found}" + (f"; {each.advice}" if each.advice else ""),
                status_word(each.status),
                " ",
            )
        )
        for each in told.complaints
    ]
    return E.section(
        {"id": name, "aria-labelledby": f"{name}-title"},
        E.h2({"id": f"{name}-title"}, told.title, " ", status_word(told.status)),
        paragraph(told.meaning),
        *([E.ul({"class": "complaints"}, *complaints)] if complaints else []),
        *(table(each.title, each.rows, found.told_at) for each in told.tables),
    )


def _link(to: str, text: str) -> Node:
    return E.a({"href": to}, text)


__all__ = ["Overview", "Section", "Table", "overview", "overview_page"]
