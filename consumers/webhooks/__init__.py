"""Doors for HTTP: keep and answer."""
