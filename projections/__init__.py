"""Meaning: read models built from the log alone. Imports journey and schemas."""

from projections.contradictions.view import ContradictionView
from projections.journey_map.view import JourneyMapView
from projections.projection import View
from projections.silence.view import SilenceView

ALL_VIEWS: tuple[View, ...] = (JourneyMapView(), SilenceView(), ContradictionView())
"""The views that the runner and `journey rebuild` keep. Feeds are summed beside them."""
