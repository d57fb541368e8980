"""Connections: who may deliver, how each proves itself, and how its words are read.

A connection comes from a YAML file or from the environment:

    connections:
      greenhouse:
        source: greenhouse
        secrets: [env:GREENHOUSE_SECRET]
        stages: {Phone screen: interview_scheduled}

    JOURNEY_CONNECTION_GREENHOUSE_SOURCE=greenhouse
    JOURNEY_CONNECTION_GREENHOUSE_SECRETS=new-secret,old-secret

The environment wins field by field, so a deployment can keep secrets out of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from consumers.yaml_file import first_fault, read_yaml
from journey.errors import ConfigurationError
from schemas.errors import UnknownKind
from schemas.event import Touchpoint
from schemas.registry import touchpoint_class
from schemas.touchpoints import StageChanged

_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}\Z")
_VARIABLE = re.compile(
    r"^JOURNEY_CONNECTION_(?P<name>[A-Z0-9][A-Z0-9_]*?)_"
    r"(?P<field>SOURCE|SECRETS|SUCCESS_CODE|MAPPING|SOURCE_NAME|"
    r"POLL_KEY|POLL_URL|POLL_SECONDS|POLL_SINCE)$"
)


ArchiveMeaning = Literal["rejected", "withdrew", "hired"]
"""What archiving an application can mean."""


class Connection(BaseModel):
    """One sender's way in: `POST /webhooks/<name>`.

    `secrets` are all live at once, so that one can be rotated without losing a delivery.
    `source_name` is what the `source` of its touchpoints says (default: `source`), so that two
    Greenhouse organisations stay apart. `stages` maps stage names to touchpoint kinds.
    `archive_reasons` says what archiving for a reason means, by the reason's id, where the ATS does
    not say it (Lever; Ashby for reasons of the type Other): `rejected`, `withdrew` or `hired`.
    `rejection_is_sent` says that this organisation tells the candidate in the same click in which
    it rejects; without it a rejection in the ATS is a decision the candidate does not know of.
    With `poll_key` its system is also asked, every `poll_seconds`, for what it does not push;
    `poll_since` is the day from which on, all of it when unset, and `poll_url` another address of
    its API.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str
    source: str = Field(min_length=1)
    secrets: tuple[str, ...] = Field(min_length=1, repr=False)
    success_code: int | None = Field(default=None, ge=200, le=299)
    mapping: Path | None = None
    source_name: str = ""
    stages: dict[str, str] = Field(default_factory=dict)
    archive_reasons: dict[str, ArchiveMeaning] = Field(default_factory=dict)
    rejection_is_sent: bool = False
    poll_key: str | None = Field(default=None, min_length=1, repr=False)
    poll_url: str | None = None
    poll_seconds: int = Field(default=300, ge=10, le=86_400)
    poll_since: date | None = None

    def model_post_init(self, context: Any) -> None:
        """Touchpoints carry the adapter's name unless the connection has one of its own."""
        if not self.source_name:
            object.__setattr__(self, "source_name", self.source)

    def kind_of_stage(self, stage: str | None) -> type[Touchpoint] | None:
        """What entering this stage (a name, or an id where the ATS tells no name) means here."""
        kind = _looked_up(self.stages, stage)
        return None if kind in (None, StageChanged.KIND) else touchpoint_class(kind)

    def meaning_of_archive_reason(self, reason_id: str | None) -> ArchiveMeaning | None:
        """What archiving for this reason means in this organisation, if the connection says so."""
        return _looked_up(self.archive_reasons, reason_id)

    @field_validator("name")
    @classmethod
    def _is_path_segment(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(
                "is a part of the address: use lower-case letters, digits, - and _, at most 63"
            )
        return name

    @field_validator("secrets")
    @classmethod
    def _are_not_empty(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        if not all(secrets):
            raise ValueError("holds an empty secret, which anyone can sign with; remove it")
        return secrets

    @field_validator("poll_url")
    @classmethod
    def _keeps_the_key_secret(cls, url: str | None) -> str | None:
        try:
            parts = urlsplit(url or "https://unset")
        except ValueError:
            parts = urlsplit("https://")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise ValueError("must begin with https://, since the key is sent there")
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("is no plain address; give one like https://harvest.greenhouse.io/v1")
        return url

    @field_validator("stages")
    @classmethod
    def _are_kinds(cls, stages: dict[str, str]) -> dict[str, str]:
        for stage, kind in stages.items():
            try:
                touchpoint_class(kind)
            except UnknownKind as error:
                raise ValueError(f"maps the stage {stage!r}: {error}") from None
        return stages


_Meaning = TypeVar("_Meaning", bound=str)


def _looked_up(table: Mapping[str, _Meaning], given: str | None) -> _Meaning | None:
    """People write these tables, so case and blanks around a name count for nothing."""
    if given is None or not table:
        return None
    wanted = given.strip().casefold()
    return next((value for key, value in table.items() if key.strip().casefold() == wanted), None)


class Connections(Mapping[str, Connection]):
    """Every connection by name."""

    def __init__(self, connections: Iterable[Connection] = ()) -> None:
        self._by_name = {connection.name: connection for connection in connections}

    def __getitem__(self, name: str) -> Connection:
        return self._by_name[name]

    def __iter__(self) -> Any:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"Connections({', '.join(self._by_name) or 'none'})"


def load_connections(
    path: Path | None, environment: Mapping[str, str], *, known_sources: Collection[str] = ()
) -> Connections:
    """The connections of the file and the environment, checked.

    `path` may name a file that does not exist yet. With `known_sources` given (the adapters'
    names) another source is refused. Raises ConfigurationError naming file, connection, field.
    """
    raw: dict[str, dict[str, Any]] = {}
    origin: dict[str, str] = {}
    if path is not None and path.exists():
        for name, fields in _from_file(path).items():
            raw[name] = fields
            origin[name] = str(path)
    for name, fields in _from_environment(environment, raw).items():
        raw.setdefault(name, {}).update(fields)
        origin.setdefault(name, "the environment")
    folder = path.parent if path is not None else Path()
    return Connections(
        _checked(name, fields, origin[name], folder, environment, known_sources)
        for name, fields in raw.items()
    )


def _from_file(path: Path) -> dict[str, dict[str, Any]]:
    document = read_yaml(path, str(path))
    if document is None:
        return {}
    connections = document.get("connections") if isinstance(document, dict) else None
    if not isinstance(connections, dict):
        raise ConfigurationError(
            f"{path} has no `connections:` with a name for each connection under it"
        )
    found = {}
    for name, fields in connections.items():
        if not isinstance(fields, dict):
            raise ConfigurationError(f"{path}: connection {name!s} has no fields under it")
        found[str(name)] = dict(fields)
    return found


def _from_environment(
    environment: Mapping[str, str], known: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Variables cannot hold a dash: `_` stands for it where the file has such a connection."""
    found: dict[str, dict[str, Any]] = {}
    for variable, value in sorted(environment.items()):
        if not (match := _VARIABLE.match(variable)) or not value.strip():
            continue
        name = match["name"].lower()
        for candidate in known:
            if candidate.replace("-", "_") == name:
                name = candidate
        field = match["field"].lower()
        fields = found.setdefault(name, {})
        fields[field] = (
            [part.strip() for part in value.split(",") if part.strip()]
            if field == "secrets"
            else value
        )
    return found


def _checked(
    name: str,
    fields: dict[str, Any],
    origin: str,
    folder: Path,
    environment: Mapping[str, str],
    known_sources: Collection[str],
) -> Connection:
    where = f"{origin}: connection {name}"
    secrets = fields.get("secrets")
    if isinstance(secrets, str):
        secrets = [secrets]
    if isinstance(secrets, list):
        read = [_secret(one, f"{where}, secrets", environment) for one in secrets]
        fields = {**fields, "secrets": read}
    if (key := fields.get("poll_key")) is not None:
        fields = {**fields, "poll_key": _secret(key, f"{where}, poll_key", environment)}
    try:
        connection = Connection(name=name, **{k: v for k, v in fields.items() if k != "name"})
    except ValidationError as error:
        raise ConfigurationError(f"{where}, {first_fault(error)}") from None
    if known_sources and connection.source not in known_sources:
        raise ConfigurationError(
            f"{where}, source: {connection.source!r} is no adapter; "
            f"use one of {', '.join(sorted(known_sources))}"
        )
    if connection.mapping is not None and not connection.mapping.is_absolute():
        connection = connection.model_copy(update={"mapping": folder / connection.mapping})
    return connection


def _secret(text: Any, where: str, environment: Mapping[str, str]) -> Any:
    if not isinstance(text, str) or not text.startswith("env:"):
        return text
    variable = text.removeprefix("env:").strip()
    value = environment.get(variable, "").strip()
    if not value:
        raise ConfigurationError(f"{where}: {variable} is not set; set it or remove it")
    return value
