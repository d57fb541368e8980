"""For any history: what a replay ends with is what the live views say, and no fold disagrees."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from journey.database import Database
from projections.queries import Queries
from projections.runner import Runner
from tests.properties.test_rebuild_equals_live import MEANING, empty, histories, play
from tests.support.builders import T0, a_log


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
# Two silences that begin at once are told in one settled order.
@example(
    history=[
        ("application_submitted", 0, "b", 0, "instant"),
        ("application_submitted", 0, "a", 0, "instant"),
    ],
    seed=0,
)
@given(history=histories, seed=st.integers(0, 2**16))
def test_the_last_step_of_a_replay_is_what_the_live_views_say(
    database: Database, history: list, seed: int
) -> None:
    """Open silences, findings and applications of every journey, at a moment after the last."""
    note(f"seed {seed}")
    empty(database)
    log = a_log(database)
    runner = Runner(database, MEANING)
    play(log, runner, history, random.Random(seed))
    runner.catch_up()
    queries = Queries(database, log, MEANING)
    now = T0 + timedelta(days=400)
    live_silences = queries.open_silences(now)
    live_findings = queries.contradictions(now)
    live_applications = queries.applications()
    with database.transaction() as connection:
        journeys = [
            row[0]
            for row in connection.execute("SELECT candidate_id FROM journeys ORDER BY candidate_id")
        ]
    silences, applications, expected = [], [], []
    for journey_id in journeys:
        last = queries.replay(journey_id, now)[-1]
        folded = queries.journey(journey_id, now)
        assert folded.candidate_id == journey_id
        silences += last.silences
        applications += last.applications
        expected += folded.contradictions
        assert last.alerts == folded.alerts
        assert last.applications == folded.applications
        assert last.silences == [each for each in folded.silences if each.until is None]
    assert sorted(map(repr, silences)) == sorted(map(repr, live_silences))
    assert sorted(map(repr, expected)) == sorted(map(repr, live_findings))
    assert sorted(_plain(each) for each in applications) == sorted(
        _plain(each) for each in live_applications
    )


def _plain(application: object) -> str:
    """Times of stages are text in a table and moments in a fold."""
    return repr(application).partition(", stages=")[0]
