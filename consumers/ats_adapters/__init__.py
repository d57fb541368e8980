"""One file an adapter; this list is written by hand so that a search finds it."""

from __future__ import annotations

from consumers.ats_adapters.adapter import Adapter
from consumers.ats_adapters.ashby import Ashby
from consumers.ats_adapters.generic import Generic
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.ats_adapters.lever import Lever

ALL_ADAPTERS: dict[str, Adapter] = {
    Greenhouse.name: Greenhouse(),
    Lever.name: Lever(),
    Ashby.name: Ashby(),
    Generic.name: Generic(),
}
"""Name of the adapter, as connections write it in `source` → the adapter."""
