"""Which format a log file has, and the reader that opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from consumers.imports.log_file import LogFile, UnreadableLog
from consumers.imports.log_map import LogMap
from consumers.imports.reading import Opened

Format = Literal["csv", "xes", "ocel-json", "ocel-xml", "ocel-sqlite", "cloudevents", "parquet"]

_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".xes": "xes",
    ".jsonocel": "ocel-json",
    ".xmlocel": "ocel-xml",
    ".sqlite": "ocel-sqlite",
    ".sqlite3": "ocel-sqlite",
    ".db": "ocel-sqlite",
    ".ndjson": "cloudevents",
    ".jsonl": "cloudevents",
    ".parquet": "parquet",
}
_SNIFFED = 4_096
_PACKED = {b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
"""How files begin that are packed in a way we do not read, and what it is called."""


def format_of(path: Path) -> Format:
    """The format of a file, by its name (before `.gz`), else by how it begins.

    Raises UnreadableLog for a file that cannot be read or that is none of these.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    start = _start(path)
    for beginning, packer in _PACKED.items():
        if start.startswith(beginning):
            raise UnreadableLog(
                f"{path.name} is packed with {packer}; unpack it, or save a spreadsheet as CSV "
                "(of packed files only .gz is read)"
            )
    known = _BY_SUFFIX.get(suffixes[-1]) if suffixes else None
    if known is not None:
        return known
    if start.startswith(b"SQLite format 3"):
        return "ocel-sqlite"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"<"):
        return "ocel-xml" if b"objects" in start or b"object-type" in start else "xes"
    if start.startswith((b"{", b"[")):
        return "cloudevents" if b'"specversion"' in start else "ocel-json"
    if start:
        return "csv"
    raise UnreadableLog(f"{path.name} is empty")


def _start(path: Path) -> bytes:
    opened = Opened(path)
    try:
        return opened.read(_SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
    finally:
        opened.close()


def open_log(path: Path, log_map: LogMap | None = None) -> LogFile:
    """The reader of a file; its header is read. Raises UnreadableLog.

    Without a map (to suggest one, or for a file that we wrote) defaults hold.
    """
    # Each format has a library of its own; only the one that is needed is loaded.
    match format_of(path):
        case "csv":
            from consumers.imports.csv_log import CsvLog

            if log_map is None:
                return CsvLog(path)
            return CsvLog(path, encoding=log_map.encoding, delimiter=log_map.delimiter)
        case "xes":
            from consumers.imports.xes_log import XesLog

            return XesLog(path)
        case "ocel-json":
            from consumers.imports.ocel_json import OcelJson

            return OcelJson(path, log_map)
        case "ocel-xml":
            from consumers.imports.ocel_xml import OcelXml

            return OcelXml(path, log_map)
        case "ocel-sqlite":
            from consumers.imports.ocel_sqlite import OcelSqlite

            return OcelSqlite(path, log_map)
        case "cloudevents":
            from consumers.imports.cloudevents_log import CloudEventsLog

            return CloudEventsLog(path, log_map)
        case "parquet":
            from consumers.imports.parquet_log import ParquetLog

            return ParquetLog(path)


__all__ = ["Format", "format_of", "open_log"]
