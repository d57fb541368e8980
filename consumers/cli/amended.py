"""What was compared with the log, as a table: for a repair, and for a log imported again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from consumers.comparison import VERBS, Verb


def print_amended(
    verbs: Mapping[str, Counter[Verb]], fields: Mapping[str, Counter[str]], *, empty: str
) -> None:
    """`verbs`: kind → how often which; `fields`: kind → how often which field was corrected."""
    from consumers.cli.output import print_table

    usual = ("added", "corrected", "retracted", "unchanged")
    shown = [
        verb for verb in VERBS if verb in usual or any(counted[verb] for counted in verbs.values())
    ]
    print_table(
        ("kind", *(verb.replace("_", " ") for verb in shown), "fields corrected"),
        [
            (
                kind,
                *(counted[verb] or None for verb in shown),
                ", ".join(sorted(fields[kind])) or None,
            )
            for kind, counted in sorted(verbs.items())
        ],
        empty=empty,
    )


__all__ = ["print_amended"]
