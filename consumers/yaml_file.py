"""Files that people write in YAML: reading one, and saying in a sentence what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from journey.errors import ConfigurationError


def read_yaml(path: Path, called: str) -> Any:
    """What the file holds. Raises ConfigurationError that begins with what the file is `called`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{called} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{called} is not UTF-8; save it as that") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{called}{line} is not YAML; mend it") from None


def first_fault(error: ValidationError) -> str:
    """The first field that is wrong, and why; never what stands in it, which may be secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{field}: {first['msg'].removeprefix('Value error, ')}"
