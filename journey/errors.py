"""Errors of the log and what it stands on.

JourneyError
 ├── ConfigurationError      a setting is missing or contradicts another
 ├── DatabaseUnavailable     the database does not answer; wait and try again
 ├── MigrationError          the database is newer than this program, or a migration failed
 ├── UnknownCandidate        nobody has this id
 └── SealError
      ├── KeyDestroyed       the person was erased; what was sealed stays sealed for ever
      └── WrongMasterKey     the master key is not the one the data was sealed with
"""


class JourneyError(Exception):
    """Something about the journey log went wrong; the text says what and what to do."""


class ConfigurationError(JourneyError):
    """A setting is missing or contradicts another."""


class DatabaseUnavailable(JourneyError):
    """The database does not answer; wait and try again."""


class MigrationError(JourneyError):
    """The database does not fit this program."""


class UnknownCandidate(JourneyError):
    """Nobody has this id."""


class SealError(JourneyError):
    """Something sealed cannot be opened."""


class KeyDestroyed(SealError):
    """The person was erased; what was sealed under their key stays sealed for ever."""


class WrongMasterKey(SealError):
    """The master key is not the one the data was sealed with."""
