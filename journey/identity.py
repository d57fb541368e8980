"""Which candidate a touchpoint belongs to, and how two candidates become one.

A source names a person by its own id, an e-mail, a phone number. One table maps (namespace,
fingerprint) → candidate, and a row of it never changes: when one statement carries keys of two
candidates they are *merged* by an event and an edge, so it can be taken back, and every key
still leads to the stream it always led to.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import LiteralString, TypeVar
from uuid import UUID

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from journey.arrays import ByteaArray, TextArray, UuidArray, use_arrays
from journey.database import Connection, settled
from journey.errors import UnknownCandidate
from journey.vault import Vault
from schemas.identifiers import PersonKey

_CACHED_KEYS = 200_000

_NORMALISED = ("email", "phone")

OWN_NAMESPACE = "journey"
"""Names a candidate by the candidate's own id, as our own exports do: the same person in every
installation, without a row in the table."""

Key = tuple[str, bytes]
"""Namespace and fingerprint."""

_Named = TypeVar("_Named", Key, tuple[PersonKey, ...])


@dataclass(slots=True)
class Resolved:
    """Whose each statement is, and which statements name more than one candidate.

    `shared`: (index of the statement, its candidates, the strongest key's first).
    """

    candidates: list[UUID] = field(default_factory=list)
    shared: list[tuple[int, list[UUID]]] = field(default_factory=list)


class Identity:
    """Resolves person keys to candidates, a batch at a time."""

    def __init__(self, vault: Vault, phone_region: str | None = None) -> None:
        self._vault = vault
        self._phone_region = phone_region
        self._known: OrderedDict[Key, UUID] = OrderedDict()
        # People whose keys all lead to one candidate, for good: they need no look at any key.
        self._people: OrderedDict[tuple[PersonKey, ...], UUID] = OrderedDict()

    def resolve(
        self,
        connection: Connection,
        people: Sequence[tuple[tuple[PersonKey, ...], tuple[PersonKey, ...]]],
    ) -> Resolved:
        """The candidate of each (person keys, keys of the same person elsewhere).

        Raises ValueError for a statement that names nobody at all.

        New keys attach to the candidate of the strongest known one; a person nobody knows gets an
        id derived from their first key, so that two processes make the same one. Three
        statements for any number of people, two when every key is known.
        """
        known_people = self._people.get
        candidates = [None if same else known_people(person) for person, same in people]
        # A person may be told of a hundred times in a batch: once is enough to find out who it is.
        told: dict[tuple[tuple[PersonKey, ...], tuple[PersonKey, ...]], list[int]] = {}
        for index, candidate in enumerate(candidates):
            if candidate is None:
                told.setdefault(people[index], []).append(index)
        open_ = [
            (indexes, self._keys(person), self._keys(same))
            for (person, same), indexes in told.items()
        ]
        resolved = Resolved(candidates)  # type: ignore[arg-type]  # the open ones follow
        if not open_:
            return resolved
        if not all(keys for _, keys, _ in open_):
            raise ValueError("a statement names no person; give it at least one person key")
        known = self._look_up(connection, {k for _, keys, same in open_ for k in (*keys, *same)})
        fresh: dict[Key, UUID] = {}
        for _, *pair in open_:
            for group in pair:
                if not all(map(known.__contains__, group)):
                    self._assign(group, known, fresh)
        if fresh:
            known |= self._attach(connection, fresh)
        for indexes, keys, same in open_:
            distinct = _distinct([known[key] for key in (*keys, *same)])
            for index in indexes:
                resolved.candidates[index] = distinct[0]
            if len(distinct) > 1:
                resolved.shared.append((indexes[0], distinct))
            elif not same and all(map(self._known.__contains__, keys)):
                _remember(self._people, people[indexes[0]][0], distinct[0])
        return resolved

    def merges(
        self, connection: Connection, shared: list[tuple[int, list[UUID]]]
    ) -> list[tuple[UUID, UUID, int]]:
        """(survivor, absorbed, index of the statement that shows it) for each new merge, in order.

        Takes the writers' lock, so that two processes never merge the same people two ways.
        """
        if not shared:
            return []
        connection.execute("SELECT FROM log_head FOR UPDATE")
        forest = Forest.load(connection, {c for _, group in shared for c in group})
        found = []
        for index, (survivor, *others) in shared:
            for other in others:
                edge = forest.merge(survivor, other)
                if edge is not None:
                    found.append((*edge, index))
        return found

    def _assign(self, keys: list[Key], known: dict[Key, UUID], fresh: dict[Key, UUID]) -> None:
        candidate = next((known[key] for key in keys if key in known), None)
        if candidate is None:
            candidate = UUID(bytes=self._vault.fingerprint(*_hexed(keys[0])), version=5)
        for key in keys:
            if key not in known:
                known[key] = fresh[key] = candidate

    def _keys(self, person: tuple[PersonKey, ...]) -> list[Key]:
        fingerprint = self._vault.fingerprint
        keys = []
        for key in person:
            namespace = key.namespace
            if namespace == OWN_NAMESPACE:
                keys.append((namespace, _candidate_named(key.value).bytes))
                continue
            normal = self.normalise(key) if namespace in _NORMALISED else key.value
            if normal:
                keys.append((namespace, fingerprint(namespace, normal)))
        if not keys and person:
            # Nothing that names a person for sure: a candidate of its own keeps what was said.
            first = person[0]
            keys.append((f"{first.namespace} as told", fingerprint(first.namespace, first.value)))
        return keys

    def normalise(self, key: PersonKey) -> str | None:
        """The normal form that is fingerprinted; None for a value that names nobody.

        A phone number without a country names nobody unless a region is configured: the same
        digits are another person next door.
        """
        if key.namespace == "email":
            return normal_email(key.value)
        if key.namespace == "phone":
            return normal_phone(key.value, self._phone_region)
        return key.value or None

    def find(self, connection: Connection, key: PersonKey) -> UUID | None:
        """The candidate a key leads to, or None."""
        keys = self._keys((key,))
        return self._look_up(connection, set(keys)).get(keys[0]) if keys else None

    def _look_up(self, connection: Connection, keys: set[Key]) -> dict[Key, UUID]:
        found: dict[Key, UUID] = {}
        asked: list[Key] = []
        for key in keys:
            candidate = self._known.get(key)
            if candidate is None and key[0] == OWN_NAMESPACE:
                candidate = UUID(bytes=key[1])
                _remember(self._known, key, candidate)
            if candidate is None:
                asked.append(key)
            else:
                found[key] = candidate
        if asked:
            use_arrays(connection)
            rows = connection.execute(
                f"SELECT namespace, fingerprint, candidate_id, {settled('identity_keys')} "
                "FROM identity_keys "
                "JOIN unnest(%b, %b) AS asked (namespace, fingerprint) "
                "USING (namespace, fingerprint)",
                [TextArray.of([k[0] for k in asked]), ByteaArray.of([k[1] for k in asked])],
                binary=True,
            ).fetchall()
            for namespace, fingerprint, candidate_id, is_settled in rows:
                found[(namespace, fingerprint)] = candidate_id
                if is_settled:
                    _remember(self._known, (namespace, fingerprint), candidate_id)
        return found

    def _attach(self, connection: Connection, fresh: dict[Key, UUID]) -> dict[Key, UUID]:
        # Sorted, so that two processes attaching the same keys wait for each other in one order.
        keys = sorted(fresh)
        rows = connection.execute(
            "INSERT INTO identity_keys SELECT * FROM unnest(%b, %b, %b) "
            "ON CONFLICT DO NOTHING RETURNING namespace, fingerprint",
            [
                TextArray.of([key[0] for key in keys]),
                ByteaArray.of([key[1] for key in keys]),
                UuidArray.of([fresh[key].bytes for key in keys]),
            ],
            binary=True,
        ).fetchall()
        ours = set(rows)
        theirs = {key for key in keys if key not in ours}
        # Another process was first with these; its word stands.
        return self._look_up(connection, theirs) if theirs else {}


def merges_that_hold(as_of: datetime | int | None) -> LiteralString:
    """SQL: which rows of `identity_merges` hold now, or did at the moment or position `as_of`.

    The query has `as_of` as a parameter of that name, unless it is None.
    """
    if as_of is None:
        return "until_position IS NULL"
    if isinstance(as_of, datetime):
        return (
            "since_recorded_at <= %(as_of)s"
            " AND (until_recorded_at IS NULL OR until_recorded_at > %(as_of)s)"
        )
    return "since_position <= %(as_of)s AND (until_position IS NULL OR until_position > %(as_of)s)"


@dataclass(slots=True)
class Forest:
    """Who is read as part of whom: each absorbed candidate has one survivor."""

    parents: dict[UUID, UUID] = field(default_factory=dict)
    apart: set[frozenset[UUID]] = field(default_factory=set)

    @classmethod
    def load(cls, connection: Connection, candidates: set[UUID]) -> Forest:
        """The edges around these candidates, and who was told apart."""
        rows = connection.execute(
            "WITH RECURSIVE up AS ("
            "  SELECT absorbed, survivor FROM identity_merges "
            "    WHERE absorbed = ANY(%(ids)s) AND until_position IS NULL "
            "  UNION SELECT m.absorbed, m.survivor FROM identity_merges m "
            "    JOIN up ON m.absorbed = up.survivor WHERE m.until_position IS NULL) "
            "SELECT absorbed, survivor, true FROM up UNION ALL "
            "SELECT absorbed, survivor, false FROM identity_merges "
            "WHERE until_position IS NOT NULL "
            "AND (absorbed = ANY(%(ids)s) OR survivor = ANY(%(ids)s))",
            {"ids": list(candidates)},
        ).fetchall()
        forest = cls()
        for absorbed, survivor, active in rows:
            if active:
                forest.parents[absorbed] = survivor
            else:
                forest.apart.add(frozenset((absorbed, survivor)))
        return forest

    def root(self, candidate: UUID) -> UUID:
        """The journey a candidate is read as part of."""
        while candidate in self.parents:
            candidate = self.parents[candidate]
        return candidate

    def merge(self, survivor: UUID, absorbed: UUID) -> tuple[UUID, UUID] | None:
        """The edge (survivor, absorbed) that makes them one, or None if nothing is to be done."""
        if frozenset((survivor, absorbed)) in self.apart:
            return None
        top, below = self.root(survivor), self.root(absorbed)
        if top == below or frozenset((top, below)) in self.apart:
            return None
        self.parents[below] = top
        return top, below


def _remember(cache: OrderedDict[_Named, UUID], key: _Named, candidate_id: UUID) -> None:
    cache[key] = candidate_id
    if len(cache) > _CACHED_KEYS:
        cache.popitem(last=False)


def _distinct(candidates: list[UUID]) -> list[UUID]:
    """Each once, in order. One alone is not hashed, which a UUID is in Python."""
    return candidates if len(candidates) == 1 else list(dict.fromkeys(candidates))


def _candidate_named(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        # Without the text, which may be anything.
        raise UnknownCandidate(
            f"a person told as {OWN_NAMESPACE}/… is no candidate's id, which is a UUID"
        ) from None


def _hexed(key: Key) -> tuple[str, str]:
    return f"candidate/{key[0]}", key[1].hex()


@lru_cache(maxsize=50_000)
def normal_email(text: str) -> str | None:
    """Lower case, IDNA and Unicode normalised, without the `+tag`; None for nothing.

    Text that is no valid address still names somebody in the system it came from, so it is kept
    as it is, composed and folded.
    """
    text = text.strip()
    if not text:
        return None
    try:
        valid = validate_email(text, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError:
        return unicodedata.normalize("NFC", text).casefold()
    local = valid.local_part.split("+", 1)[0] or valid.local_part
    return f"{local}@{valid.domain}".casefold()


@lru_cache(maxsize=50_000)
def normal_phone(text: str, region: str | None) -> str | None:
    """E.164, or None when the number cannot be told apart from another country's."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
