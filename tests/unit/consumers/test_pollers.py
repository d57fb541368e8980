"""What a poller may be asked, and where a key may go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

import consumers.pollers as package
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.errors import Unavailable
from consumers.pollers import ALL_POLLERS
from consumers.pollers.cursors import Cursor
from consumers.pollers.fetching import Api
from consumers.pollers.poller import Poller
from tests.support.harvest_server import payload

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HARVEST = ALL_POLLERS["greenhouse"]


def test_every_poller_file_is_in_the_list() -> None:
    """A file that nobody listed would never be used."""
    shared = {"__init__", "poller", "poll", "cursors", "fetching", "standing"}
    stems = {file.stem for file in Path(package.__file__).parent.glob("*.py")} - shared
    assert len(stems) == len(ALL_POLLERS)
    assert ALL_POLLERS.keys() <= ALL_ADAPTERS.keys()


@pytest.mark.parametrize("poller", ALL_POLLERS.values(), ids=lambda each: each.source)
class TestEveryPoller:
    """What holds for a poller without knowing its system."""

    def test_its_api_is_reached_under_tls(self, poller: Poller) -> None:
        """The key goes there."""
        assert poller.url.startswith("https://")

    def test_what_it_looks_into_is_one_of_its_lists(self, poller: Poller) -> None:
        """And no list has the name of a detail."""
        assert poller.details.keys() <= set(poller.lists)
        assert not set(poller.details.values()) & set(poller.lists)

    @pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"7", b'{"a":1}', b"[1]", b"[[]]"])
    def test_an_answer_that_is_no_page_is_a_failure(self, poller: Poller, body: bytes) -> None:
        """Unavailable, and no other error."""
        for endpoint in poller.lists:
            with pytest.raises(Unavailable):
                poller.list_found(endpoint, body)

    def test_a_moment_is_asked_for_in_utc(self, poller: Poller) -> None:
        """Whatever zone it stands in here."""
        elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
        for endpoint in poller.lists:
            assert poller.list_path(endpoint, elsewhere) == poller.list_path(endpoint, NOW)
            assert poller.list_path(endpoint, None) != poller.list_path(endpoint, NOW)


ODD = (None, {}, [], "", 0, 1.5, True, NOW.isoformat(), "0001-01-01T00:00:00Z", "9999-12-31",
       "9999-12-31T23:59:59Z", "a\u0000b", "x" * 5_000)  # fmt: skip


def bent(node: Any) -> Iterator[Any]:
    """The document with each of its parts in turn left out, or something else."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield {name: one for name, one in node.items() if name != key}
            yield from ({**node, key: other} for other in (*ODD, *bent(value)))
    elif isinstance(node, list):
        yield from ([*node[:place], other, *node[place + 1 :]] for place in range(len(node))
                    for other in (*ODD, *bent(node[place])))  # fmt: skip


@pytest.mark.parametrize("name", ["candidate_rejected", "interview_over", "interview_all_day",
                                  "interview_scheduled", "offer_out"])  # fmt: skip
def test_an_object_bent_in_any_place_is_kept_or_a_failure(name: str) -> None:
    """Nothing but Unavailable is raised, so the poll of this system goes on, and of others."""
    endpoint = {"candidate": "candidates", "offer": "offers"}.get(
        name.partition("_")[0], "scheduled_interviews"
    )
    for each in bent(payload(name)):
        (found,) = HARVEST.list_found(endpoint, orjson.dumps([each]))
        look_at = HARVEST.look_at(endpoint, found.body, NOW)
        assert look_at is None or NOW <= look_at < NOW.replace(year=2032)
        HARVEST.before(endpoint, found.body)
        assert found.object_id.isprintable()
        cursor = Cursor("gh", endpoint).after_page([found], [found], None, NOW).at_end(moved=True)
        HARVEST.list_path(endpoint, cursor.since)


def test_a_feed_bent_in_any_place_is_kept_or_a_failure() -> None:
    """Beside a candidate that is bent as well."""
    about = orjson.dumps(payload("candidate_rejected"))
    for each in bent(payload("feed_as_answered")):
        try:
            found = HARVEST.detail_found("activity_feed", about, orjson.dumps(each))
        except Unavailable:
            continue
        assert HARVEST.detail_joined("activity_feed", about, found) is not None
    feed = orjson.dumps(payload("feed_as_answered"))
    for candidate in bent(payload("candidate_rejected")):
        about = orjson.dumps(candidate)
        found = HARVEST.detail_found("activity_feed", about, feed)
        assert HARVEST.detail_joined("activity_feed", about, found) is not None


def test_what_is_another_at_each_look_is_no_change() -> None:
    """Addresses of files are signed anew; anything else counts."""
    candidate = payload("candidate_in_process")
    (first,) = HARVEST.list_found("candidates", orjson.dumps([candidate]))
    candidate["attachments"] = []
    (same,) = HARVEST.list_found("candidates", orjson.dumps([candidate]))
    candidate["applications"][0]["status"] = "rejected"
    (other,) = HARVEST.list_found("candidates", orjson.dumps([candidate]))
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert "Anneke" not in repr(first)


@pytest.mark.parametrize("depth", [300, 1020])
def test_an_object_nested_without_end_is_a_failure(depth: int) -> None:
    """Not a bug of ours that would stop the process."""
    body = b'[{"id":1,"a":' + b"[" * depth + b"]" * depth + b"}]"
    with pytest.raises(Unavailable):
        HARVEST.list_found("offers", body)


def test_an_id_that_no_database_takes_is_none() -> None:
    """PostgreSQL has no character U+0000."""
    (found,) = HARVEST.list_found("offers", b'[{"id":"a\\u0000b"}]')
    assert found.object_id.startswith("?")


def test_an_object_without_an_id_is_known_by_what_it_says() -> None:
    """It is kept, once."""
    odd = [{"id": None, "a": 1}, {"a": 1, "id": None}, {"a": 2}]
    found = HARVEST.list_found("offers", orjson.dumps(odd))
    assert len({each.object_id for each in found}) == 2


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("https://harvest.example/v1/offers?page=2", True),
        ("https://harvest.example:443/v1/offers", True),
        ("https://harvest.example/v1", True),
        ("http://harvest.example/v1/offers", False),
        ("https://harvest.example:8443/v1/offers", False),
        ("https://harvest.example/v2/offers", False),
        ("https://harvest.example/v1x/offers", False),
        ("https://harvest.example/v1/../v2/offers", False),
        ("https://elsewhere.example/v1/offers", False),
        ("https://me@harvest.example/v1/offers", False),
        ("https://harvest.example@elsewhere.example/v1/offers", False),
        ("https://[x/v1", False),
        ("", False),
    ],
)
def test_the_key_goes_to_its_own_api_alone(url: str, is_ours: bool) -> None:
    """Same scheme, host, port and path; anything else is another server's."""
    api = Api("https://harvest.example/v1/", "k")
    assert api.is_ours(url) is is_ours
    api.close()
