"""The limit on dead letters: how many of the next deliveries may be handled."""

from __future__ import annotations

import pytest

from consumers.kafka_stream.dead_letters import DeadLetterLimit

GOOD, DEAD = False, True


@pytest.mark.parametrize(
    ("fates", "allowed"),
    [
        ([DEAD] * 10, 2),
        ([GOOD] * 50, 50),
        ([DEAD, GOOD, DEAD, GOOD, DEAD, GOOD], 4),
        ([DEAD, GOOD, DEAD, GOOD, GOOD, DEAD, GOOD], 7),
        ([DEAD, DEAD, *[GOOD] * 3, DEAD], 6),
        ([], 0),
    ],
)
def test_two_of_five(fates: list[bool], allowed: int) -> None:
    """The one that would be the third of the last five is not handled, nor what follows."""
    assert DeadLetterLimit(2, 5).allowed(fates) == allowed


def test_what_was_handled_counts() -> None:
    """Batches follow each other, and the window goes over them."""
    limit = DeadLetterLimit(2, 5)
    limit.handled([DEAD, GOOD])
    assert limit.allowed([DEAD, DEAD]) == 1
    limit.handled([DEAD])
    assert limit.allowed([GOOD, GOOD, GOOD, DEAD]) == 4


def test_a_restart_forgives_none() -> None:
    """The window begins with what was handled before; good deliveries go on."""
    limit = DeadLetterLimit(2, 5)
    limit.begin_with([GOOD] * 9 + [DEAD, DEAD])
    assert limit.allowed([DEAD]) == 0
    assert limit.allowed([GOOD] * 4) == 4


def test_asking_changes_nothing() -> None:
    """What is not committed was not handled."""
    limit = DeadLetterLimit(2, 5)
    assert [limit.allowed([DEAD] * 3) for _ in range(3)] == [2, 2, 2]
