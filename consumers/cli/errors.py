"""Exit codes, and which error means which."""

from __future__ import annotations

FOUND = 1
"""A check failed, something wrong was found, or something stopped on an error."""
USAGE = 2
NOT_FOUND = 3
DATABASE = 4
CONFIGURATION = 5
KAFKA = 6


class CommandError(Exception):
    """A command cannot do what it was asked; `code` is the exit code, the text says why."""

    code = FOUND


class NotFound(CommandError):
    """What was named is not there."""

    code = NOT_FOUND


class WrongUsage(CommandError):
    """The arguments do not go together."""

    code = USAGE


def code_of(error: Exception) -> int | None:
    """The exit code of an expected error; None for a bug."""
    if isinstance(error, CommandError):
        return error.code
    from consumers.errors import KafkaUnavailable
    from journey.errors import (
        ConfigurationError,
        DatabaseUnavailable,
        JourneyError,
        MigrationError,
        UnknownCandidate,
        WrongMasterKey,
    )

    if isinstance(error, KafkaUnavailable):
        return KAFKA
    if isinstance(error, UnknownCandidate) or type(error).__name__ == "UnknownAlert":
        return NOT_FOUND
    if isinstance(error, DatabaseUnavailable):
        return DATABASE
    if isinstance(error, ConfigurationError | MigrationError | WrongMasterKey):
        return CONFIGURATION
    if isinstance(error, JourneyError) or type(error).__name__ == "IngestStopped":
        return FOUND
    return None
