"""`journey connections`: who may deliver."""

from __future__ import annotations

from consumers.cli.options import AsJson


def connections(as_json: AsJson = False) -> None:
    """The configured connections; how many secrets are live, never the secrets.

    Example: journey connections

    JSON: a list of {name, path, source, source_name, secrets, success_code, mapping, stages,
    poll_seconds}; poll_seconds is null for one that is not polled.
    """
    from consumers.ats_adapters import ALL_ADAPTERS
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table

    with installation() as engine:
        found = [
            {
                "name": each.name,
                "path": f"/webhooks/{each.name}",
                "source": each.source,
                "source_name": each.source_name,
                "secrets": len(each.secrets),
                "success_code": each.success_code or ALL_ADAPTERS[each.source].success_code,
                "mapping": str(each.mapping) if each.mapping else None,
                "stages": len(each.stages),
                "poll_seconds": each.poll_seconds if each.poll_key is not None else None,
            }
            for each in engine.connections.values()
        ]
        path = engine.settings.connections
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "name",
            "path",
            "source",
            "source name",
            "secrets",
            "answers",
            "stages",
            "mapping",
            "polled",
        ),
        [
            (
                each["name"],
                each["path"],
                each["source"],
                each["source_name"],
                each["secrets"],
                each["success_code"],
                each["stages"],
                each["mapping"],
                f"every {each['poll_seconds']} s" if each["poll_seconds"] else None,
            )
            for each in found
        ],
        empty=f"No connections; write {path} or set JOURNEY_CONNECTION_<NAME>_SOURCE.",
    )
