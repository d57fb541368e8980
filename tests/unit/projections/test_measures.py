"""Measures of stages, worked out by hand."""

from __future__ import annotations

import pytest

from projections.measures import Spread, Standing, stage_steps, stage_volumes
from tests.support.builders import T0, days


def test_stages_say_who_came_went_on_and_ended_there() -> None:
    """Each application once a stage; a stay ends with the next stage or the application."""
    applications = [
        Standing("open", None, [("screen", T0), ("onsite", days(2))]),
        Standing("rejected", days(9), [("screen", T0), ("onsite", days(4)), ("screen", days(5))]),
        Standing("hired", days(8), [("screen", T0), ("onsite", days(6))]),
        Standing("withdrawn", days(1), [("screen", T0)]),
        Standing("rejected, not told", None, [("screen", T0)]),
        Standing("open", None, []),
    ]
    entries, names = stage_steps(applications)
    screen, onsite, nowhere = stage_volumes(applications, entries, names)
    assert (screen.stage, onsite.stage, nowhere.stage) == ("screen", "onsite", None)
    assert (screen.entered, screen.entries, screen.now, screen.moved_on) == (5, 6, 0, 2)
    assert (screen.hired, screen.rejected, screen.rejected_not_told, screen.withdrawn) == (
        0,
        1,
        1,
        1,
    )
    assert screen.dropped_off == 0.6
    # 2, 4 and 6 days to the onsite, 4 from the return to the rejection, 1 to the withdrawal.
    assert screen.stay.count == 5
    assert screen.stay.median_seconds == 4 * 86_400
    assert screen.stay.mean_seconds == pytest.approx(3.4 * 86_400)
    assert (onsite.entered, onsite.now, onsite.moved_on, onsite.hired) == (3, 1, 1, 1)
    assert onsite.dropped_off == 0
    assert (nowhere.entered, nowhere.entries, nowhere.now) == (1, 0, 1)
    assert nowhere.stay == Spread(0, None, None, None)
    for each in (screen, onsite, nowhere):
        ended = each.hired + each.rejected + each.rejected_not_told + each.withdrawn
        assert each.entered == each.now + each.moved_on + ended


def test_no_application_has_no_stages() -> None:
    """Neither do applications that were never in one, but they are told."""
    assert stage_volumes([], *stage_steps([])) == ()
    nowhere = [Standing("withdrawn", T0, [])]
    assert [each.dropped_off for each in stage_volumes(nowhere, *stage_steps(nowhere))] == [1.0]
