"""One file an adapter; this list is written by hand so that a search finds it."""

from __future__ import annotations

from consumers.ats_adapters.adapter import Adapter
from consumers.ats_adapters.generic import Generic
from consumers.ats_adapters.greenhouse import Greenhouse

ALL_ADAPTERS: dict[str, Adapter] = {
    Greenhouse.name: Greenhouse(),
    Generic.name: Generic(),
}
"""Name of the adapter, as connections write it in `source` → the adapter."""
