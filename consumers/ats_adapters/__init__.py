"""One file an adapter; this list is written by hand so that a search finds it."""

from __future__ import annotations

from consumers.ats_adapters.adapter import Adapter

ALL_ADAPTERS: dict[str, Adapter] = {}
"""Name of the adapter, as connections write it in `source` → the adapter."""
