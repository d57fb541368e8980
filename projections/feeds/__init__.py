"""Feeds: what each source has told us, and up to when."""
