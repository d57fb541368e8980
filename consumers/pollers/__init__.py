"""One file a poller; this list is written by hand so that a search finds it."""

from __future__ import annotations

from consumers.pollers.greenhouse_harvest import GreenhouseHarvest
from consumers.pollers.poller import Poller

ALL_POLLERS: dict[str, Poller] = {GreenhouseHarvest.source: GreenhouseHarvest()}
"""What connections write in `source` → the poller of that system."""
