"""The parser that rules and policies are read with.

PyYAML's wheels hold libyaml, which reads them six times as fast as its Python twin; every command
reads them all first.
"""

from __future__ import annotations

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

__all__ = ["SafeLoader"]
