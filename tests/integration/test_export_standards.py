"""What an export writes is what the standards of its formats ask for, whatever the log holds."""

from __future__ import annotations

import importlib
import json
import re
import sqlite3
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from lxml import etree

from consumers.exports import ALL_FORMATS
from consumers.exports.export import Access, Exporter
from journey.database import Database
from projections.selection import Selection
from tests.support.every_kind import record_everything


@pytest.fixture(params=["empty", "everything", "personal"])
def exported(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Any:
    """Exports to a format: of an empty log, of one with everything in it, personal data or not."""
    log = record_everything(database) if request.param != "empty" else None
    access = Access("Ada", "a test") if request.param == "personal" else None

    def export(name: str) -> Path:
        target = tmp_path / "exported"
        vault = log.vault if log is not None and access is not None else None
        Exporter(database).to_file(
            ALL_FORMATS[name], target, Selection(), access=access, vault=vault
        )
        return target

    return export


XES = etree.RelaxNG(
    etree.fromstring("""
<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://www.xes-standard.org/"
         datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <start><element name="log">
    <attribute name="xes.version" ns=""><data type="decimal"/></attribute>
    <attribute name="xes.features" ns=""><data type="token"/></attribute>
    <zeroOrMore><element name="extension">
      <attribute name="name" ns=""><data type="NCName"/></attribute>
      <attribute name="prefix" ns=""><data type="NCName"/></attribute>
      <attribute name="uri" ns=""><data type="anyURI"/></attribute>
    </element></zeroOrMore>
    <zeroOrMore><element name="global">
      <attribute name="scope" ns=""><choice><value>trace</value><value>event</value></choice></attribute>
      <ref name="attributes"/>
    </element></zeroOrMore>
    <zeroOrMore><element name="classifier">
      <attribute name="name" ns=""><data type="NCName"/></attribute>
      <attribute name="keys" ns=""><data type="token"/></attribute>
    </element></zeroOrMore>
    <ref name="attributes"/>
    <zeroOrMore><element name="trace">
      <ref name="attributes"/>
      <zeroOrMore><element name="event"><ref name="attributes"/></element></zeroOrMore>
    </element></zeroOrMore>
  </element></start>
  <define name="attributes"><zeroOrMore><choice>
    <element name="string"><ref name="key"/><attribute name="value" ns=""><data type="string"/></attribute></element>
    <element name="date"><ref name="key"/><attribute name="value" ns=""><data type="dateTime"/></attribute></element>
    <element name="int"><ref name="key"/><attribute name="value" ns=""><data type="long"/></attribute></element>
    <element name="boolean"><ref name="key"/><attribute name="value" ns=""><data type="boolean"/></attribute></element>
  </choice></zeroOrMore></define>
  <define name="key"><attribute name="key" ns=""><data type="Name"/></attribute></define>
</grammar>""")  # noqa: E501
)
"""The structure of IEEE 1849, as far as we use it: what comes in which order, and of which type."""


def test_xes_has_the_structure_of_the_standard(exported: Any) -> None:
    """And what it calls global is in every trace and event, and no key is there twice."""
    document = etree.parse(exported("xes"))
    XES.assertValid(document)
    space = "{http://www.xes-standard.org/}"
    root = document.getroot()
    for scope in ("trace", "event"):
        (promised,) = (each for each in root.iter(f"{space}global") if each.get("scope") == scope)
        keys = {each.get("key") for each in promised}
        for element in root.iter(f"{space}{scope}"):
            told = [each.get("key") for each in element if each.get("key") is not None]
            assert keys <= set(told)
            assert len(told) == len(set(told))
    prefixes = {each.get("prefix") for each in root.iter(f"{space}extension")}
    keys = {str(each.get("key")) for each in root.iter()}
    assert {key.partition(":")[0] for key in keys if ":" in key} <= prefixes


def an_array(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """Objects with these properties."""
    items = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "array", "items": items}


TEXT, MOMENT = {"type": "string"}, {"type": "string", "format": "date-time"}
_TYPES = an_array(
    ("name", "attributes"),
    name=TEXT,
    attributes=an_array(
        ("name", "type"),
        name=TEXT,
        type={"enum": ["string", "time", "integer", "float", "boolean"]},
    ),
)
_RELATED = an_array(("objectId", "qualifier"), objectId=TEXT, qualifier=TEXT)
OCEL = jsonschema_rs.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "eventTypes": _TYPES,
            "objectTypes": _TYPES,
            "events": an_array(
                ("id", "type", "time"),
                id=TEXT,
                type=TEXT,
                time=MOMENT,
                attributes=an_array(("name", "value"), name=TEXT, value=TEXT),
                relationships=_RELATED,
            ),
            "objects": an_array(
                ("id", "type"),
                id=TEXT,
                type=TEXT,
                attributes=an_array(("name", "value", "time"), name=TEXT, value=TEXT, time=MOMENT),
                relationships=_RELATED,
            ),
        },
        "required": ["eventTypes", "objectTypes", "events", "objects"],
    },
    validate_formats=True,
)
"""What OCEL 2.0 asks of its JSON: every value is a text."""


def test_ocel_json_has_the_structure_of_the_standard(exported: Any) -> None:
    """Ids once, nothing related that is not there, types and attributes as declared."""
    document = json.loads(exported("ocel-json").read_bytes())
    OCEL.validate(document)
    objects = {each["id"] for each in document["objects"]}
    assert len(objects) == len(document["objects"])
    assert len({each["id"] for each in document["events"]}) == len(document["events"])
    for what in ("event", "object"):
        declared = {
            each["name"]: {attribute["name"] for attribute in each["attributes"]}
            for each in document[f"{what}Types"]
        }
        for each in document[f"{what}s"]:
            names = [attribute["name"] for attribute in each["attributes"]]
            assert set(names) <= declared[each["type"]]
            assert len(names) == len(set(names))
            assert {one["objectId"] for one in each["relationships"]} <= objects


def test_ocel_sqlite_keeps_every_rule_of_the_standard(exported: Any) -> None:
    """Tables, keys and types as PM4Py checks them; every reference leads somewhere."""
    path = exported("ocel-sqlite")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rules = importlib.import_module("pm4py.objects.ocel.validation.ocel20_rel_validation")
    satisfied, broken = rules.apply(str(path))
    assert satisfied
    assert list(broken) == []
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


def test_cloudevents_are_such(exported: Any) -> None:
    """The attributes of version 1.0, each as its type has it; source and id name an event once."""
    seen = set()
    lines = exported("cloudevents").read_bytes().splitlines()
    for line in lines:
        event = json.loads(line)
        assert event["specversion"] == "1.0"
        assert event["datacontenttype"] == "application/json"
        assert isinstance(event["data"], dict)
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        for name in event.keys() - {"data"}:
            assert re.fullmatch("[a-z0-9]{1,20}", name)
            assert event[name]
            assert not re.search("[\x00-\x1f\x7f-\x9f]", event[name])
        assert re.fullmatch("[A-Za-z0-9/:._~%-]+", event["source"])
        urlsplit(event["source"])
        seen.add((event["source"], event["id"]))
    assert len(seen) == len(lines)
