"""Meaning: read models built from the log alone. Imports journey and schemas."""
