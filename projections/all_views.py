"""The list of views, written by hand so that a search finds it; a contract test keeps it whole."""

from __future__ import annotations

from projections.contradictions.view import ContradictionView
from projections.journey_map.view import JourneyMapView
from projections.paths.view import PathView
from projections.projection import View
from projections.silence.view import SilenceView

ALL_VIEWS: tuple[View, ...] = (
    JourneyMapView(),
    SilenceView(),
    ContradictionView(),
    PathView(),
)
"""The views that the runner and `journey rebuild` keep. Feeds are summed beside them."""
