"""Measurements beside their peers; `python -m bench` prints one JSON line a figure."""
