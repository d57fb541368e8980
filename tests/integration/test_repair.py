"""A mended adapter and its raw deliveries: the log says what it would have said all along."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from consumers import inbox
from consumers.connections import Connections
from consumers.ingest import Ingest, IngestStopped
from consumers.repair import Repair, Repaired
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable
from journey.journey_log import JourneyLog
from projections.effective import effective
from projections.queries import Queries
from projections.reading import read_page
from projections.rebuild import rebuild
from projections.runner import Runner
from schemas.event import Moment
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from schemas.touchpoints import TouchpointRetracted
from tests.properties.test_rebuild_equals_live import empty
from tests.support.builders import T0, a_log, the_meaning
from tests.support.fakes import FrozenClock
from tests.support.tellers import TELLER, Reading, Said, Teller, arrives, as_listed, says

MEANING = the_meaning()
MASTER = b"k" * 32


@dataclass
class World:
    """A tenant with an inbox, a log and views, read by an adapter that can be changed."""

    database: Database
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(T0))
    others: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self.log: JourneyLog = a_log(self.database, self.clock, MASTER)
        self.runner = Runner(self.database, MEANING)

    def ingests(self, reading: Reading) -> None:
        """Everything pending is read."""
        adapters = {"teller": Teller(reading)}
        connections = Connections([TELLER, *self.others])
        Ingest(self.database, self.log, connections, self.clock, adapters=adapters).drain()
        self.runner.catch_up()

    def repair(self, reading: Reading = as_listed, **options: Any) -> Repair:
        """A repair whose adapter reads so."""
        return Repair(
            self.database,
            self.log,
            Connections([TELLER, *self.others]),
            self.clock,
            adapters={"teller": Teller(reading)},
            **options,
        )

    def repairs(self, reading: Reading = as_listed, **options: Any) -> Repaired:
        """Everything received since T0 is read anew."""
        self.clock.advance(timedelta(hours=1))
        repaired = self.repair(reading, batch=3).run("tells", T0, **options)
        self.runner.catch_up()
        return repaired

    def journeys(self) -> list[tuple[Any, ...]]:
        """What holds, in words: all facts of all journeys, without the engine's own."""
        with self.database.transaction() as connection:
            pairs = read_page(connection, 0, 100_000).facts
            streams: dict[Any, list[Any]] = {}
            for candidate_id, fact in pairs:
                root = self.log.members(connection, candidate_id)
                streams.setdefault(min(root), []).append(fact)
        return sorted(
            (
                str(journey_id),
                fact.kind,
                fact.occurred_at,
                fact.occurred_precision,
                str(fact.application_id),
                str(fact.stage),
                str((fact.starts_at, fact.ends_at, fact.reason, fact.job_id, fact.interview_id)),
            )
            for journey_id, facts in streams.items()
            for fact in effective(facts)
            if fact.source == "teller"
        )

    def views(self) -> dict[str, list[str]]:
        """Rows of applications, silences, findings and deadlines, without ids of touchpoints."""
        columns = {
            "applications": "*",
            "silences": "candidate_id, application_id, began_kind, since, until, ended_kind, "
            "job_id, stage, source, last_interview_at, interviews, chases",
            "findings": "candidate_id, application_id, rule, severity, since, until",
            "deadlines": "due_at, subject, candidate_id, application_id, name, level, since",
        }
        with self.database.transaction() as connection:
            return {
                table: sorted(
                    map(repr, connection.execute(f"SELECT {chosen} FROM {table}").fetchall())  # type: ignore[call-overload]
                )
                for table, chosen in columns.items()
            }

    def begins_anew(self) -> None:
        """As if nothing had ever happened."""
        empty(self.database)
        with self.database.transaction() as connection:
            connection.execute("TRUNCATE deliveries")
        # Nothing is remembered of people that are not there any more.
        self.__post_init__()

    def position(self) -> int:
        return self.log.position()

    def everything(self) -> list[str]:
        """All that a dry run must leave as it was."""
        tables = ("journey_events", "deliveries", "identity_keys", "identity_merges", "person_keys")
        with self.database.transaction() as connection:
            return [
                repr(row)
                for table in tables
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # type: ignore[call-overload]
            ]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


STORY: tuple[tuple[Said, ...], ...] = (
    (says("a", "application_submitted", 0, name="Casey Doe"),),
    (says("b", "stage_changed", 24, fields={"stage": "Phone"}),),
    (
        says(
            "c",
            "interview_scheduled",
            30,
            fields={"starts_at": "2026-03-05T10:00:00Z", "ends_at": "2026-03-05T11:00:00Z"},
        ),
    ),
    (says("d", "interview_held", 74, fields={"ends_at": "2026-03-05T11:00:00Z"}),),
    (says("e", "rejection_sent", 400), says("f", "survey_sent", 410)),
    (says("g", "application_submitted", 5, person="2", application="2"),),
    (says("h", "offer_sent", 500, person="2", application="2"),),
)


def only(event: str, change: Callable[[Said], list[Said]]) -> Reading:
    """A bug about one thing said."""
    return lambda said: change(said) if said["event"] == event else [said]


BUGS: dict[str, Reading] = {
    "a wrong time": only("d", lambda said: [said | {"hours": 3}]),
    "a wrong precision": only("b", lambda said: [said | {"precision": "day", "hours": 15}]),
    "a wrong field of its kind": only("c", lambda said: [said | {"fields": {}}]),
    "a field too many": only("d", lambda said: [said | {"fields": {"stage": "Oops"}}]),
    "a wrong kind": only("e", lambda said: [said | {"kind": "rejection_decided"}]),
    "a wrong application": only("e", lambda said: [said | {"application": "7"}]),
    "no application": only("e", lambda said: [said | {"application": None}]),
    "a wrong person": only("h", lambda said: [said | {"person": "1"}]),
    "an unknown person": only("h", lambda said: [said | {"person": "9"}]),
    "one missing": only("d", lambda said: []),
    "one too many": only("d", lambda said: [said, says("x", "rejection_sent", 80)]),
    "a whole delivery missing": only("a", lambda said: []),
    "other ids": lambda said: [said | {"event": "old " + said["event"]}],
    "all of it wrong": lambda said: [said | {"hours": said["hours"] + 48, "application": "3"}],
    "not readable": only("c", lambda said: [{"unreadable": True}]),
}


def told(world: World, *stories: tuple[Said, ...]) -> list[str]:
    return [arrives(world.database, *said) for said in stories]


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_mended_adapter_gives_the_journeys_it_would_have_given(
    world: World, bug: Reading
) -> None:
    """Facts and views are those of a log read by it from the start; once more adds nothing."""
    expected, views = ingested_from_the_start(world, STORY, as_listed)
    told(world, *STORY)
    world.ingests(bug)
    assert world.repairs().appended > 0
    assert world.journeys() == expected
    assert world.views() == views
    rebuilt = rebuild(world.database, MEANING, T0)
    assert rebuilt.differences == dict.fromkeys(rebuilt.differences, 0)
    position = world.position()
    again = world.repairs()
    assert (again.appended, world.position()) == (0, position)
    assert sum(each["unchanged"] for each in again.verbs.values()) == 8


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_bug_that_comes_and_goes_is_mended_each_time(world: World, bug: Reading) -> None:
    """Right, spoilt by a repair with the bug, mended, twice over: retractions are taken back."""
    told(world, *STORY)
    world.ingests(as_listed)
    right = world.journeys()
    world.repairs(bug)
    wrong = world.journeys()
    for _ in range(2):
        world.repairs()
        assert world.journeys() == right
        world.repairs(bug)
        assert world.journeys() == wrong
    world.repairs()
    assert world.journeys() == right


def ingested_from_the_start(
    world: World, stories: Sequence[tuple[Said, ...]], reading: Reading
) -> tuple[list[Any], dict[str, list[str]]]:
    """The journeys and views of a log that this adapter alone has read; the tenant is empty."""
    told(world, *stories)
    world.ingests(reading)
    found = world.journeys(), world.views()
    world.begins_anew()
    return found


def test_a_dry_run_tells_all_and_changes_nothing(world: World) -> None:
    """What it says is what the repair then says it did."""
    told(world, *STORY)
    world.ingests(BUGS["all of it wrong"])
    before = world.everything()
    dry = world.repairs(dry_run=True)
    assert world.everything() == before
    done = world.repairs()
    assert (dry.verbs, dry.fields, dry.became) == (done.verbs, done.fields, done.became)
    assert [each.touchpoint_id for each in dry.examples] == [
        each.touchpoint_id for each in done.examples
    ]
    assert dry.appended == done.appended == 8
    assert dry.fields["stage_changed"] == {"occurred_at": 1, "application_id": 1}


def test_what_a_retry_says_too_is_not_taken_back(world: World) -> None:
    """The first delivery no longer says it, the second still does: it stays, as the second says."""
    fact = says("a", "rejection_sent", 10, fields={"reason": "told"})
    told(world, (fact | {"echo": 1},), (fact | {"echo": 2, "hours": 12},))
    world.ingests(as_listed)
    repaired = world.repairs(lambda said: [] if said["echo"] == 1 else [said])
    (kept,) = world.journeys()
    assert kept[1:3] == ("rejection_sent", T0 + timedelta(hours=12))
    assert repaired.verbs["rejection_sent"] == {"corrected": 1}
    repaired = world.repairs(lambda said: [])
    assert repaired.verbs["rejection_sent"] == {"retracted": 1}
    assert world.journeys() == []


def test_what_an_earlier_delivery_said_is_left_alone(world: World) -> None:
    """It was recorded from before `since`; whatever a retry says today, its word stands."""
    fact = says("a", "rejection_sent", 10)
    arrives(world.database, fact, at=T0 - timedelta(days=2))
    world.ingests(as_listed)
    before = world.journeys()
    arrives(world.database, fact)
    world.ingests(as_listed)
    repaired = world.repairs(lambda said: [said | {"hours": 99}])
    assert repaired.verbs["rejection_sent"] == {"elsewhere": 1}
    assert (repaired.deliveries, world.journeys()) == (1, before)


def test_what_another_connection_of_the_source_says_is_not_taken_back(world: World) -> None:
    """A poll and a webhook tell the same fact; the webhook's no longer does, and it stays."""
    world.others = (TELLER.model_copy(update={"name": "polls"}),)
    fact = says("a", "rejection_sent", 10)
    arrives(world.database, fact | {"by": "webhook"})
    polled = arrives(world.database, fact | {"by": "poll"})
    with world.database.transaction() as connection:
        connection.execute(
            "UPDATE deliveries SET connection = 'polls' WHERE delivery_id = %s", [polled]
        )
    world.ingests(as_listed)
    repaired = world.repairs(lambda said: [] if said["by"] == "webhook" else [said])
    assert repaired.verbs["rejection_sent"] == {"elsewhere": 1}
    assert len(world.journeys()) == 1


def test_a_delivery_that_cannot_be_read_any_more_keeps_its_facts(world: World) -> None:
    """It is reported, and a dead letter that says so; nothing of it is taken back."""
    (broken,) = told(world, (says("a", "rejection_sent", 10),))
    world.ingests(as_listed)
    before = world.journeys()
    repaired = world.repairs(lambda said: [{"unreadable": True}])
    assert (world.journeys(), repaired.appended) == (before, 0)
    (unreadable,) = repaired.unreadable
    assert (unreadable.delivery_id, unreadable.recorded) == (broken, 1)
    with world.database.transaction() as connection:
        (summary,) = inbox.listing(connection)
    assert (summary.status, summary.attempts, summary.touchpoints) == ("dead", 1, 1)
    assert summary.reason == ("read before, and not today, so all of it stays: it cannot be read")
    world.repairs()
    with world.database.transaction() as connection:
        (summary,) = inbox.listing(connection)
    assert (summary.status, summary.reason, summary.touchpoints) == ("recorded", None, 1)


def test_of_a_delivery_read_in_part_nothing_is_taken_back(world: World) -> None:
    """What it does not say may be among what could not be read; the rest is corrected."""
    told(world, (says("a", "application_submitted"), says("b", "rejection_sent", 9)))
    world.ingests(as_listed)
    repaired = world.repairs(
        lambda said: [{"problem": "b is odd"}] if said["event"] == "b" else [said | {"hours": 1}]
    )
    assert {kind: dict(counted) for kind, counted in repaired.verbs.items()} == {
        "application_submitted": {"corrected": 1}
    }
    assert [each[1] for each in world.journeys()] == ["application_submitted", "rejection_sent"]
    assert repaired.became == {"dead": 1}


def test_facts_of_merged_candidates_are_mended_where_they_stand(world: World) -> None:
    """Two streams are read as one journey: nothing moves between them."""
    story = (
        (says("a", "application_submitted", 0, person="1"),),
        (says("b", "message_received", 9, person="", emails=["one@x.example"]),),
        (says("c", "rejection_sent", 20, person="1", emails=["one@x.example"]),),
        (says("d", "survey_sent", 30, person="", emails=["one@x.example"]),),
    )
    expected, views = ingested_from_the_start(world, story, as_listed)
    told(world, *story)
    world.ingests(lambda said: [said | {"hours": said["hours"] + 5}])
    repaired = world.repairs()
    assert (repaired.appended, repaired.merged, repaired.apart) == (4, 0, 0)
    assert [each[1:] for each in world.journeys()] == [each[1:] for each in expected]
    assert world.views() == views
    assert world.repairs().appended == 0


def test_the_rows_of_deliveries_say_what_became_of_them(world: World) -> None:
    """Status, number of touchpoints that hold, attempts and when."""
    said = (says("a", "application_submitted"), says("b", "rejection_sent", 9))
    told(world, said, said[:1], (says("c", "withdrew", 3),), ({"unreadable": True},))
    world.ingests(as_listed)
    told(world, (says("p", "hired", 9),))
    world.repairs(lambda said: [] if said.get("event") in ("b", "c") else [said])
    with world.database.transaction() as connection:
        found = inbox.listing(connection)[::-1]
    assert [(each.status, each.touchpoints, each.attempts) for each in found] == [
        ("recorded", 1, 1),
        ("recorded", 0, 1),
        ("context", 0, 1),
        ("dead", 0, 1),
        ("pending", 0, 0),
    ]
    assert {each.handled_at for each in found} == {T0 + timedelta(hours=1), None}


def test_only_what_is_personal_is_corrected_too(world: World) -> None:
    """The right name is sealed in the correction, and found where the fact is looked at."""
    fact = says("a", "application_submitted", 0, name="Casey Doe")
    told(world, (fact,))
    world.ingests(lambda said: [said | {"name": "C\ufffdsey"}])
    repaired = world.repairs()
    assert repaired.fields["application_submitted"] == {"personal": 1}
    queries = Queries(world.database, world.log, MEANING)
    candidate = world.log.find("teller:candidate/1")
    assert [each.name for each in queries.unsealed(candidate).values()] == ["Casey Doe"]  # type: ignore[union-attr]
    assert world.repairs().appended == 0
    # Nothing of it is in the open: not in ids, nor in what stands beside them.
    with world.database.transaction() as connection:
        dump = b"".join(row[0] for row in connection.execute("SELECT state FROM journey_events"))
    assert b"Casey" not in dump
    world.repairs(lambda said: [{k: v for k, v in said.items() if k != "name"}])
    assert queries.unsealed(candidate) == {}
    world.repairs()
    assert [each.name for each in queries.unsealed(candidate).values()] == ["Casey Doe"]  # type: ignore[union-attr]


def test_what_somebody_took_back_by_hand_stays_so(world: World) -> None:
    """The adapter still says it, and a person knew better."""
    told(world, (says("a", "rejection_sent", 10),))
    world.ingests(as_listed)
    candidate = world.log.find("teller:candidate/1")
    (touchpoint,) = world.log.history(candidate)
    retracted = TouchpointRetracted.told(
        source="analyst",
        source_event_id="1",
        moment=Moment.of(T0),
        retracts=touchpoint.touchpoint_id,
    )
    world.log.put_statements([Statement(retracted, (PersonKey("teller:candidate", "1"),))])
    repaired = world.repairs(lambda said: [said | {"hours": 20}])
    assert (repaired.verbs["rejection_sent"], repaired.appended) == ({"by_hand": 1}, 0)
    assert world.journeys() == []


def test_keys_that_a_wrong_person_was_given_merge_nobody(world: World) -> None:
    """The fact goes to its own person; the two stay two, and the report says so."""
    told(
        world,
        (says("a", "application_submitted", 0, person="1"),),
        (says("b", "application_submitted", 0, person="2", application="2"),),
        (says("c", "rejection_sent", 9, person="2", application="2", emails=["two@x.example"]),),
    )
    world.ingests(only("c", lambda said: [said | {"person": "1"}]))
    for _ in range(2):
        repaired = world.repairs()
        assert (repaired.apart, repaired.merged) == (1, 0)
    one, two = (world.log.find(f"teller:candidate/{number}") for number in "12")
    assert one != two
    facts = {(each[0], each[1]) for each in world.journeys()}
    assert facts == {
        (str(one), "application_submitted"),
        (str(two), "application_submitted"),
        (str(two), "rejection_sent"),
    }


def test_keys_that_the_old_translation_missed_merge(world: World) -> None:
    """Nothing said is wrong, and an e-mail address was not read: the two are one after all."""
    told(
        world,
        (says("a", "application_submitted", 0, emails=["one@x.example"]),),
        (says("b", "message_received", 9, person="", emails=["one@x.example"]),),
    )
    world.ingests(only("a", lambda said: [said | {"emails": []}]))
    assert world.repairs(dry_run=True).merged == 1
    repaired = world.repairs()
    assert (repaired.merged, repaired.appended) == (1, 0)
    assert len({each[0] for each in world.journeys()}) == 1
    assert world.repairs().merged == 0


def test_a_kill_between_batches_leaves_whole_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again, and the end is the same as of one that was left in peace."""
    told(world, *STORY)
    world.ingests(as_listed)
    right = world.journeys()
    world.repairs(BUGS["all of it wrong"])
    mark, calls = inbox.mark, 0

    def dies(*given: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise psycopg.OperationalError("the connection is lost")
        mark(*given, **more)

    before = world.position()
    with monkeypatch.context() as patched:
        patched.setattr(inbox, "mark", dies)
        with pytest.raises(DatabaseUnavailable):
            world.repairs()
    assert world.position() == before + 3
    assert world.repairs().appended == 5
    assert world.journeys() == right
    assert world.repairs().appended == 0


def test_two_repairs_at_once_do_it_once(database: Database) -> None:
    """Each thing is appended by one of them."""
    world = World(database)
    for number in range(40):
        told(world, (says(f"a{number}", "rejection_sent", number, person=str(number % 7)),))
    wrong: Reading = lambda said: [said | {"hours": 500, "person": "0"}]  # noqa: E731
    world.ingests(wrong)
    failures: list[BaseException] = []
    done: list[Repaired] = []

    def work() -> None:
        try:
            done.append(World(database).repair(batch=3).run("tells", T0))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    once = world.position()
    assert world.repairs().appended == 0
    assert world.position() == once
    assert sum(each.appended for each in done) == once - 40
    assert [each[2] for each in sorted(world.journeys(), key=lambda each: each[2])] == [
        T0 + timedelta(hours=number) for number in range(40)
    ]


def test_a_bug_of_ours_stops_before_anything_is_changed(world: World) -> None:
    """It names the delivery; deliveries are all read before the first is changed."""
    told(world, *STORY)
    world.ingests(BUGS["a wrong time"])
    before = world.everything()

    def fails(said: Said) -> list[Said]:
        raise KeyError("Casey")

    with pytest.raises(IngestStopped) as raised:
        world.repairs(only("h", fails))
    assert "Casey" not in str(raised.value)
    assert world.everything() == before


def test_a_connection_nobody_configured_is_told(world: World) -> None:
    """One sentence, and nothing is read."""
    with pytest.raises(ConfigurationError, match="no connection is called 'gone'"):
        world.repair().run("gone", T0)


def test_progress_ends_where_it_said(world: World) -> None:
    """Deliveries are read twice, and both count."""
    told(world, *STORY)
    world.ingests(as_listed)
    seen: list[tuple[int, int]] = []
    world.repair(batch=2).run("tells", T0, progress=lambda *each: seen.append(each))
    assert [total for _, total in seen] == [14] * len(seen)
    assert [done for done, _ in seen] == [2, 4, 6, 7, 9, 11, 13, 14]


def test_a_delivery_id_inside_other_words_is_not_one(world: World) -> None:
    """What a source calls things may look like our own JSON, and finds nothing."""
    label = '"delivery_id":"019a0b1c-7d2e-7f00-8000-5a5a5a5a5a5a"'
    said = says("repair/019a0b1c-7d2e-7f00-8000-5a5a5a5a5a5a/x", "hired", fields={"stage": label})
    told(world, (said,))
    world.ingests(as_listed)
    assert world.repairs(lambda said: [said | {"hours": 1}]).verbs["hired"] == {"corrected": 1}


# --- any history ----------------------------------------------------------------------------

KINDS = (
    "application_submitted", "stage_changed", "message_sent", "message_received",
    "interview_held", "rejection_decided", "rejection_sent", "offer_sent", "withdrew",
    "survey_sent",
)  # fmt: skip
things = st.tuples(st.integers(0, 12), st.integers(0, 2), st.booleans())
deliveries = st.lists(st.lists(things, min_size=0, max_size=3), min_size=1, max_size=10)


def a_teller(seed: int) -> Reading:
    """An adapter that reads each thing in its own settled way, right or wrong."""

    def reading(said: Said) -> list[Said]:
        rng = random.Random(f"{seed}/{orjson.dumps(said).decode()}")
        if rng.random() < 0.5:
            return [said]
        spoilt = rng.choice(
            [
                [],
                [said | {"hours": said["hours"] + rng.randrange(1, 300)}],
                [said | {"kind": rng.choice(KINDS)}],
                [said | {"application": rng.choice(["1", "2", None])}],
                [said | {"person": rng.choice("0123")}],
                [said | {"fields": {"stage": rng.choice("xyz")}}],
                [said | {"event": said["event"] + "'"}],
                [said, said | {"event": said["event"] + "+", "kind": rng.choice(KINDS)}],
            ]
        )
        return list(spoilt)

    return reading


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
@given(listed=deliveries, seeds=st.lists(st.integers(0, 2**16), min_size=2, max_size=4))
def test_any_adapter_is_mended_into_any_other(
    database: Database, listed: list[list[tuple[int, int, bool]]], seeds: list[int]
) -> None:
    """After repairs from bug to bug, all is as if the last adapter had been the only one."""
    note(f"seeds {seeds}")
    stories = [
        tuple(
            says(
                f"e{number}", KINDS[number % len(KINDS)], 24 * number,
                person=str(person), application=str(person), echo=echo,
            )
            for number, person, echo in each
        )
        for each in listed
    ]  # fmt: skip
    world = World(database)
    world.begins_anew()
    expected, views = ingested_from_the_start(world, stories, a_teller(seeds[-1]))
    told(world, *stories)
    world.ingests(a_teller(seeds[0]))
    for seed in seeds[1:]:
        world.repairs(a_teller(seed))
    assert world.journeys() == expected
    assert world.views() == views
    assert world.repairs(a_teller(seeds[-1])).appended == 0
