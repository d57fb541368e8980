"""Nine candidates and what happened to them, as six systems tell it.

Plain data: who, what, when it happened, and which system said so. Most is told within four hours,
in no particular order; some of it days late, some of it twice. Names and addresses are made up
(`.example` belongs to nobody); they go into the sealed field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 4, 17, 15, 0, tzinfo=UTC)
"""The story's present: a Friday morning in Toronto."""

DELAY_MINUTES = 240
"""How long the systems of the story take to tell, at most, unless they are late."""

_JOB = {"greenhouse": 40210}
_ZONE = "America/Toronto"


@dataclass(frozen=True, slots=True)
class Character:
    """Someone in the story. `number` makes their ids; `lesson` is what happened in a line."""

    number: int
    name: str
    lesson: str

    @property
    def email(self) -> str:
        """Their address, as they gave it to the ATS."""
        return f"{self.name.split()[0].lower()}@mail.example"

    @property
    def phone(self) -> str:
        """Their number, in a range that is reserved for fiction."""
        return f"+1 416 555 01{self.number:02}"

    @property
    def candidate(self) -> int:
        """Greenhouse's id of the person."""
        return 70_000 + self.number

    @property
    def application(self) -> int:
        """Greenhouse's id of the application."""
        return 90_000 + self.number


AMARA = Character(1, "Amara Okafor", "interviewed three times, then nothing but four surveys")
BELA = Character(2, "Bela Novak", "rejected, and a referee was called the next day")
CHIDI = Character(3, "Chidi Mensah", "asked for times to meet, and not in which time zone")
DANA = Character(4, "Dana Levi", "came to the interview, and the interviewer did not")
EMI = Character(5, "Emi Tanaka", "treated well: answered in days, hired")
FARID = Character(6, "Farid Haddad", "rejected in the ATS, and never told")
GRETA = Character(7, "Greta Holm", "rejected, and then sent an offer")
HUGO = Character(8, "Hugo Reyes", "named in three ways by three systems; all of it is one journey")
INES = Character(9, "Ines Costa", "answered what she was asked, and got no reply for two days")

CAST = (AMARA, BELA, CHIDI, DANA, EMI, FARID, GRETA, HUGO, INES)
"""Everyone, in the order of their numbers."""


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery: the connection it comes by, its id there, its body, and when it comes.

    `signed`: how its system signs. `late` and `repeat` say what is odd about its arrival; a
    `forged` one does not come from its system at all.
    """

    connection: str
    event_id: str
    body: Mapping[str, Any]
    happened_at: datetime
    arrives_at: datetime
    signed: str
    content_type: str = "application/json"
    late: bool = False
    repeat: bool = False
    forged: bool = False


def at(day: str, time: str) -> datetime:
    """A moment of the story's year: `at("02-24", "15:00")`, in UTC."""
    return datetime.fromisoformat(f"2026-{day}T{time}:00+00:00")


@dataclass(slots=True)
class Teller:
    """Collects what systems tell, and gives each delivery its id and arrival."""

    told: list[Told] = field(default_factory=list)

    def greenhouse(self, who: Character, action: str, when: datetime, **application: Any) -> None:
        """An action about an application, with the whole object that Greenhouse sends."""
        first, _, last = who.name.partition(" ")
        said: dict[str, Any] = {
            "id": who.application,
            "prospect": False,
            "status": "active",
            "applied_at": _text(when),
            "last_activity_at": _text(when),
            "rejected_at": None,
            "current_stage": {"id": 6101, "name": "Application Review", "interviews": []},
            "candidate": {
                "id": who.candidate,
                "first_name": first,
                "last_name": last,
                "email_addresses": [{"value": who.email, "type": "personal"}],
                "phone_numbers": [{"value": who.phone, "type": "mobile"}],
            },
            "jobs": [{"id": _JOB["greenhouse"], "name": "Analyst", "status": "open"}],
            **application,
        }
        body = {"action": action, "payload": {"application": said}}
        self._tell("greenhouse", f"{who.number}-{action}-{_text(when)}", body, when, "greenhouse")

    def offer(self, who: Character, action: str, when: datetime, **offer: Any) -> None:
        """An offer of Greenhouse's: flat, with the application's id and no person."""
        said: dict[str, Any] = {
            "id": 55_000 + who.number,
            "application_id": who.application,
            "job_id": _JOB["greenhouse"],
            "user_id": 881,
            "version": 1,
            "sent_on": None,
            "resolved_at": None,
            "offer_status": "Created",
            **offer,
        }
        body = {"action": action, "payload": said}
        self._tell("greenhouse", f"{who.number}-{action}-{_text(when)}", body, when, "greenhouse")

    def tool(
        self,
        who: Character,
        event: str,
        when: datetime,
        *,
        named_by: str = "application",
        late_days: int = 0,
        **data: Any,
    ) -> None:
        """An event of another tool, which names the person as it knows them."""
        connection = event.partition(".")[0]
        names: dict[str, dict[str, Any]] = {
            "application": {"greenhouse_application": who.application},
            "email": {"email": who.email, "name": who.name},
            "phone": {"phone": who.phone},
        }
        said = {**names[named_by], **data}
        event_id = f"{connection}-{who.number}-{event.partition('.')[2]}-{when:%m%d%H%M}"
        if connection in ("calendar", "references"):
            body: dict[str, Any] = {
                "specversion": "1.0",
                "id": event_id,
                "source": f"https://{connection}.example",
                "type": event,
                "time": _text(when),
                "data": said,
            }
            content_type = "application/cloudevents+json"
        else:
            body = {"type": event, "timestamp": _text(when), "data": said}
            content_type = "application/json"
        self._tell(connection, event_id, body, when, "standard", late_days, content_type)

    def interview(self, who: Character, number: int, booked: datetime, start: datetime) -> None:
        """An interview of an hour that was booked and held."""
        end = start + timedelta(hours=1)
        data: dict[str, Any] = {
            "interview": f"i{who.number}{number}",
            "start": _text(start),
            "end": _text(end),
            "time_zone": _ZONE,
        }
        self.tool(who, "calendar.booked", booked, **data)
        self.tool(who, "calendar.ended", end, **data)

    def _tell(
        self,
        connection: str,
        event_id: str,
        body: Mapping[str, Any],
        when: datetime,
        signed: str,
        late_days: int = 0,
        content_type: str = "application/json",
    ) -> None:
        delay = timedelta(days=late_days, minutes=1 + _digest(event_id) % DELAY_MINUTES)
        self.told.append(
            Told(
                connection,
                event_id,
                body,
                when,
                when + delay,
                signed,
                content_type,
                late=late_days > 0,
            )
        )


def deliveries() -> list[Told]:
    """Every delivery of the story in the order of its arrival, repeats included."""
    teller = Teller()
    for tell in (
        _amara, _bela, _chidi, _dana, _emi, _farid, _greta, _hugo, _ines,
    ):  # fmt: skip
        tell(teller)
    return _scrambled(teller.told)


def _scrambled(told: Iterable[Told]) -> list[Told]:
    """In order of arrival, which is not that of what happened; every seventh comes once more."""
    arriving = list(told)
    for each in list(arriving):
        number = _digest(each.event_id)
        if number % 7 == 0:
            again = each.arrives_at + timedelta(minutes=5 + number // 7 % 2000)
            arriving.append(replace(each, arrives_at=min(again, NOW), repeat=True))
    forged = next(each for each in arriving if each.connection == "references")
    arriving.append(replace(forged, event_id=f"{forged.event_id}-forged", forged=True))
    arriving.sort(key=lambda each: (each.arrives_at, each.event_id, each.repeat))
    return arriving


def _digest(text: str) -> int:
    """The same on every machine and in every version of Python, unlike a random generator."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what happened --------------------------------------------------------------------------


def _stage(teller: Teller, who: Character, when: datetime, number: int, name: str) -> None:
    teller.greenhouse(
        who,
        "candidate_stage_change",
        when,
        current_stage={"id": 6100 + number, "name": name, "interviews": []},
    )


def _applied(teller: Teller, who: Character, when: datetime) -> None:
    """Applied, and got a word that it arrived, the same day."""
    teller.greenhouse(who, "new_candidate_application", when)
    teller.tool(who, "mail.received_confirmation", when + timedelta(minutes=5))


def _rejected(teller: Teller, who: Character, when: datetime, reason: str) -> None:
    teller.greenhouse(
        who,
        "reject_candidate",
        when,
        status="rejected",
        rejected_at=_text(when),
        rejection_reason={
            "id": 14,
            "name": reason,
            "type": {"id": 2, "name": "We rejected them"},
        },
    )


def _amara(teller: Teller) -> None:
    who = AMARA
    _applied(teller, who, at("01-26", "14:02"))
    teller.tool(
        who, "mail.availability_request", at("01-29", "15:10"), time_zone=_ZONE,
        subject="When could we talk?",
    )  # fmt: skip
    teller.tool(who, "mail.availability", at("01-29", "21:40"), time_zone=_ZONE)
    teller.interview(who, 1, at("01-30", "16:00"), at("02-03", "15:00"))
    _stage(teller, who, at("02-04", "14:20"), 2, "Second interview")
    teller.interview(who, 2, at("02-05", "16:30"), at("02-11", "18:00"))
    teller.interview(who, 3, at("02-13", "15:45"), at("02-24", "15:00"))
    # From here on she hears nothing that tells her where she stands.
    _stage(teller, who, at("02-27", "19:00"), 4, "Decision")
    for day, event in (
        ("03-12", "survey.sent"),
        ("03-16", "survey.reminder"),
        ("03-20", "survey.reminder"),
        ("03-25", "survey.reminder"),
    ):
        teller.tool(who, event, at(day, "13:00"), survey="s-2026-03")
    for day in ("03-10", "03-24"):
        teller.tool(
            who, "mail.chaser", at(day, "20:15"), named_by="email",
            text="I wanted to ask whether there is any news.",
        )  # fmt: skip


def _bela(teller: Teller) -> None:
    who = BELA
    _applied(teller, who, at("03-02", "15:20"))
    teller.interview(who, 1, at("03-06", "15:00"), at("03-12", "17:00"))
    _rejected(teller, who, at("03-16", "16:00"), "Another candidate was stronger")
    teller.tool(who, "mail.rejection", at("03-16", "17:00"), text="We decided not to go on.")
    teller.tool(who, "references.called", at("03-17", "14:30"))
    teller.tool(who, "references.done", at("03-19", "16:00"), late_days=2)


def _chidi(teller: Teller) -> None:
    _applied(teller, CHIDI, at("04-06", "16:45"))
    teller.tool(
        CHIDI, "mail.availability_request", at("04-09", "15:30"),
        subject="Please send us three times that suit you",
    )  # fmt: skip


def _dana(teller: Teller) -> None:
    who = DANA
    _applied(teller, who, at("04-01", "13:30"))
    booking: dict[str, Any] = {
        "interview": "i41",
        "start": _text(at("04-15", "15:00")),
        "end": _text(at("04-15", "16:00")),
        "time_zone": _ZONE,
    }
    teller.tool(who, "calendar.booked", at("04-08", "14:10"), **booking)
    teller.tool(who, "calendar.nobody_came", at("04-15", "15:25"), interview="i41")


def _emi(teller: Teller) -> None:
    who = EMI
    _applied(teller, who, at("03-16", "14:00"))
    teller.tool(who, "mail.availability_request", at("03-18", "14:00"), time_zone=_ZONE)
    teller.tool(who, "mail.availability", at("03-18", "19:00"), time_zone=_ZONE)
    teller.interview(who, 1, at("03-19", "14:00"), at("03-24", "15:00"))
    teller.tool(who, "mail.answer", at("03-25", "15:00"), text="Thank you; you hear by Friday.")
    offer = {"sent_on": "2026-03-27", "offer_status": "Unresolved"}
    teller.offer(who, "offer_created", at("03-26", "15:00"))
    teller.offer(who, "offer_updated", at("03-27", "15:00"), **offer)
    # Offers come in versions, and each is sent whole: three deliveries, one offer.
    teller.offer(who, "offer_updated", at("03-27", "15:05"), **offer, version=2)
    accepted = {**offer, "offer_status": "Accepted", "resolved_at": "2026-03-30T13:00:00Z"}
    teller.offer(who, "offer_updated", at("03-30", "13:00"), **accepted, version=2)
    teller.greenhouse(
        who,
        "hire_candidate",
        at("03-30", "19:00"),
        status="hired",
        offer={
            "id": 55_000 + who.number,
            "version": 2,
            "status": "accepted",
            "sent_on": "2026-03-27",
            "resolved_at": "2026-03-30T13:00:00Z",
        },
    )
    teller.tool(who, "survey.sent", at("04-02", "13:00"), survey="s-2026-04")
    teller.tool(
        who, "survey.answered", at("04-02", "18:20"), survey="s-2026-04", score=9,
        comment="I always knew what came next.",
    )  # fmt: skip


def _farid(teller: Teller) -> None:
    who = FARID
    _applied(teller, who, at("03-09", "14:15"))
    teller.interview(who, 1, at("03-13", "15:00"), at("03-19", "18:00"))
    _rejected(teller, who, at("03-24", "15:40"), "Not enough experience")


def _greta(teller: Teller) -> None:
    who = GRETA
    _applied(teller, who, at("03-03", "15:00"))
    teller.interview(who, 1, at("03-09", "15:00"), at("03-13", "14:00"))
    _rejected(teller, who, at("03-17", "14:30"), "Position filled")
    teller.tool(who, "mail.rejection", at("03-17", "15:00"), text="The position is filled.")
    teller.tool(who, "mail.offer", at("04-08", "15:00"), text="We would like you to join us.")


def _hugo(teller: Teller) -> None:
    """Chat and mail come before the ATS has named him; one answer is told three days late."""
    who = HUGO
    teller.tool(who, "chat.message", at("03-16", "17:50"), named_by="phone",
                text="Is the position still open?")  # fmt: skip
    teller.tool(who, "mail.answer", at("03-16", "20:30"), named_by="email",
                text="Yes, please apply.")  # fmt: skip
    teller.greenhouse(who, "new_candidate_application", at("03-17", "15:00"))
    # In time, but nobody here knows it before the alert.
    teller.tool(who, "mail.answer", at("03-23", "14:00"), named_by="email", late_days=3,
                text="We read it, and come back to you this week.")  # fmt: skip
    teller.interview(who, 1, at("03-27", "15:00"), at("04-15", "14:00"))


def _ines(teller: Teller) -> None:
    _applied(teller, INES, at("04-10", "14:40"))
    teller.tool(INES, "mail.question", at("04-14", "15:00"), text="Which days could you work?")
    teller.tool(
        INES, "chat.message", at("04-15", "18:30"), named_by="phone",
        text="Tuesday to Friday. When will I hear from you?",
    )  # fmt: skip


__all__ = ["CAST", "NOW", "Character", "Teller", "Told", "deliveries"]
