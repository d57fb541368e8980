"""Graphs as pictures: DOT for other tools, and an SVG that needs none."""
