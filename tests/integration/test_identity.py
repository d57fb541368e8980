"""Who is who: three systems, three names, any order; merges that can be taken back."""

from __future__ import annotations

from itertools import permutations

import pytest

from journey.database import Database
from journey.identity import normal_email, normal_phone
from schemas.identifiers import PersonKey
from tests.support.builders import a_log, days, statement

ATS = PersonKey("greenhouse:candidate", "123")
EMAIL = PersonKey("email", "Zoë.Nair+jobs@Example.com")
SAME_EMAIL = PersonKey("email", "zoë.nair@example.com")
PHONE = PersonKey("phone", "+49 (0) 170 5550123")
SAME_PHONE = PersonKey("phone", "+491705550123")


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_three_systems_name_one_person_in_any_order(
    database: Database, order: tuple[int, ...]
) -> None:
    """ATS id, e-mail and phone, told apart and then together, end as one journey."""
    told = [
        statement("application_submitted", days(0), keys=(ATS,)),
        statement("message_received", days(1), keys=(SAME_EMAIL,), source="mail"),
        statement("call_made", days(2), keys=(SAME_PHONE,), source="phone"),
        statement("stage_changed", days(3), keys=(ATS, EMAIL, PHONE)),
    ]
    log = a_log(database)
    people = [log.put_statements([told[index]]).candidates[0] for index in order]
    for person in people:
        kinds = [touchpoint.KIND for touchpoint in log.history(person)]
        assert [kind for kind in kinds if kind != "candidates_merged"] == [
            "application_submitted", "message_received", "call_made", "stage_changed",
        ]  # fmt: skip


def test_all_at_once_needs_no_merge(database: Database) -> None:
    """Keys told in one batch attach to one candidate from the start."""
    told = [
        statement("stage_changed", keys=(ATS, EMAIL, PHONE)),
        statement("message_received", keys=(SAME_EMAIL,), source="mail"),
        statement("call_made", keys=(SAME_PHONE,), source="phone"),
    ]
    recorded = a_log(database).put_statements(told)
    assert len(set(recorded.candidates)) == 1
    assert recorded.last_position == 3


def test_a_merge_is_an_event_and_can_be_taken_back(database: Database) -> None:
    """Unmerged journeys are apart again, and the same shared key does not merge them anew."""
    log = a_log(database)
    one, two = log.put_statements(
        [statement("application_submitted", keys=(ATS,)), statement("call_made", keys=(PHONE,))]
    ).candidates
    log.put_statements([statement("message_sent", days(1), keys=(ATS, PHONE))])
    merged_at = log.position()
    assert len(log.history(two)) == 4
    with database.transaction() as connection:
        assert log.unmerge(two, connection, by="somebody")
        assert not log.unmerge(two, connection, by="somebody")
    assert [touchpoint.KIND for touchpoint in log.history(two)] == ["call_made"]
    assert len(log.history(two, as_of=merged_at)) == 4
    log.put_statements([statement("message_sent", days(2), keys=(ATS, PHONE))])
    assert [touchpoint.KIND for touchpoint in log.history(two)] == ["call_made"]
    assert "candidates_unmerged" in [touchpoint.KIND for touchpoint in log.history(one)]


def test_a_declared_merge(database: Database) -> None:
    """A source that says two of its candidates are one merges them."""
    log = a_log(database)
    one = log.put_statements([statement("application_submitted", person="1")]).candidates[0]
    two = log.put_statements([statement("application_submitted", person="2")]).candidates[0]
    other = (PersonKey("greenhouse:candidate", "2"),)
    log.put_statements([statement("stage_changed", days(1), person="1", same_as=other)])
    assert [t.touchpoint_id for t in log.history(one)] == [
        t.touchpoint_id for t in log.history(two)
    ]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("  ada+jobs@example.com ", "ada@example.com"),
        ("ada@bücher.example", "ada@bücher.example"),
        ("hank.von diablo@example.com", "hank.von diablo@example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("jose\u0301 de@example.com", "jos\u00e9 de@example.com"),
        ("ada@bu\u0308cher.example", "ada@b\u00fccher.example"),
        ("ada@xn--bcher-kva.example", "ada@b\u00fccher.example"),
        ("", None),
    ],
)
def test_the_normal_form_of_an_email(text: str, normal: str | None) -> None:
    """Case, tags and spaces around do not make another person."""
    assert normal_email(text) == normal


@pytest.mark.parametrize(
    ("text", "region", "normal"),
    [
        ("+49 (0) 170 5550123", None, "+491705550123"),
        ("330-281-8004", "US", "+13302818004"),
        ("330-281-8004", None, None),
        ("call me", "US", None),
    ],
)
def test_the_normal_form_of_a_phone(text: str, region: str | None, normal: str | None) -> None:
    """Without a country a number names nobody."""
    assert normal_phone(text, region) == normal
