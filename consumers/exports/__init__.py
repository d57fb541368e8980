"""The log out: one module a format, all listed here; `export.py` runs them.

What the columns are and mean stands in `projections/columns.py`, which touchpoints are taken in
`projections/selection.py`, and how our own files are read back in `reading_back.py`.
"""

from __future__ import annotations

from consumers.exports.cloudevents import CLOUDEVENTS
from consumers.exports.csv_file import CSV
from consumers.exports.ocel_json import OCEL_JSON
from consumers.exports.ocel_sqlite import OCEL_SQLITE
from consumers.exports.parquet_file import PARQUET
from consumers.exports.writer import Format
from consumers.exports.xes_file import XES

ALL_FORMATS: dict[str, Format] = {
    each.name: each for each in (CSV, PARQUET, XES, OCEL_JSON, OCEL_SQLITE, CLOUDEVENTS)
}
"""Name, as `--format` takes it → the format."""
