"""Errors about the words themselves.

SchemaError
 ├── UnknownTopic        a stored name nobody registered
 ├── UnknownKind         a kind nobody registered
 └── NaiveDatetime       a time without a zone
"""


class SchemaError(Exception):
    """A touchpoint does not have the shape it claims."""


class UnknownTopic(SchemaError):
    """The log holds a stored name that no class or upcaster knows."""


class UnknownKind(SchemaError):
    """No touchpoint kind has this name."""


class NaiveDatetime(SchemaError):
    """A time came without a zone, so it names no moment."""
