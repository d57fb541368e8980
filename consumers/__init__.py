"""Doors: every process one can start. Imports the rest; imported by none."""
