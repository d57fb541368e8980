"""XES 1.0: a trace an application, an event a touchpoint, in the order in which they occurred."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import astuple

from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint, Type

KIND, TIME = "concept:name", "time:timestamp"
"""Keys of the standard's own under which `kind` and `occurred_at` stand."""

_STANDARD = {"kind": KIND, "occurred_at": TIME}
_TAGS: dict[Type, str] = {
    "id": "string", "text": "string", "json": "string", "moment": "date", "number": "int",
    "flag": "boolean",
}  # fmt: skip

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0" xes.features="" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
<global scope="trace">
<string key="concept:name" value=""/>
</global>
<global scope="event">
<string key="concept:name" value=""/>
<date key="time:timestamp" value="1970-01-01T00:00:00Z"/>
<string key="lifecycle:transition" value="complete"/>
</global>
<classifier name="Kind" keys="concept:name"/>
<string key="concept:name" value="candidate journeys"/>
"""


class XesWriter:
    """Takes a journey at a time. A touchpoint without an application is in a trace that the
    journey itself names; attributes leave out what was not told."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        self._file = file
        # Everything of an attribute but its value.
        self._attributes = [
            (f'<{_TAGS[each.type]} key="{_STANDARD.get(each.name, each.name)}" value="', each.type)
            for each in columns
        ]
        file.write(_HEAD.encode())

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """The traces of one journey, in the order in which they begin."""
        traces: dict[str | None, list[FlatTouchpoint]] = {}
        for flat in touchpoints:
            traces.setdefault(flat.application_id, []).append(flat)
        for application_id, told in traces.items():
            self._file.write(self._trace(application_id, told).encode())

    def _trace(self, application_id: str | None, told: Sequence[FlatTouchpoint]) -> str:
        journey_id = told[0].journey_id
        name = escaped(journey_id if application_id is None else application_id)
        return (
            f'<trace>\n<string key="concept:name" value="{name}"/>\n'
            f'<string key="journey_id" value="{journey_id}"/>\n'
            f"{''.join(map(self._event, told))}</trace>\n"
        )

    def _event(self, flat: FlatTouchpoint) -> str:
        parts = ["<event>\n"]
        for (start, kind), value in zip(self._attributes, astuple(flat), strict=False):
            if value is None:
                continue
            if kind == "flag":
                parts.append(f'{start}{"true" if value else "false"}"/>\n')
            elif kind in ("text", "json"):
                parts.append(f'{start}{escaped(value)}"/>\n')
            else:
                parts.append(f'{start}{value}"/>\n')
        parts.append('<string key="lifecycle:transition" value="complete"/>\n')
        if flat.actor_id is not None:
            parts.append(f'<string key="org:resource" value="{escaped(flat.actor_id)}"/>\n')
        parts.append("</event>\n")
        return "".join(parts)

    def close(self) -> None:
        """The end of the log."""
        self._file.write(b"</log>\n")


_SPECIAL = re.compile(
    # An underline is escaped wherever what it begins might be taken for an escape of ours: also
    # before four digits that end in a character whose escape begins with an underline.
    '[&<>"\t\n\r]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|_(?=x[0-9A-F]{4})'
)
_ESCAPED = re.compile("_x([0-9A-F]{4})_")
_AS_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escaped(text: str) -> str:
    """Text as the value of an attribute.

    Characters that no XML can hold are written `_x0008_`, as spreadsheets do; `unescaped` undoes
    that.
    """
    return _SPECIAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _AS_XML:
        return _AS_XML[character]
    # Written out, since a reader makes blanks of them.
    if character in "\t\n\r":
        return f"&#{ord(character)};"
    return f"_x{ord(character):04X}_"


def unescaped(text: str) -> str:
    """What `escaped` made of it besides XML, undone."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


XES = Format(
    "xes", "a trace an application (or a journey, for the rest), an event a touchpoint",
    XesWriter, by_journey=True,
)  # fmt: skip

__all__ = ["KIND", "TIME", "XES", "escaped", "unescaped"]
