"""Docstrings as help texts: paragraphs are joined, so that a terminal of any width wraps them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def described(command: Callable[..., Any]) -> str:
    """The help of a command, from its docstring."""
    return paragraphs(inspect.getdoc(command) or "")


def paragraphs(text: str) -> str:
    """Lines of one paragraph as one line; empty lines between paragraphs stay."""
    parts = (" ".join(part.split()) for part in text.strip().split("\n\n"))
    return "\n\n".join(part for part in parts if part)
