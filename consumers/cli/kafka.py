"""`journey kafka`: the topics of a large installation, made and looked at."""

from __future__ import annotations

import typer

from consumers.cli.described import described
from consumers.cli.errors import FOUND
from consumers.cli.options import AsJson

app = typer.Typer(
    no_args_is_help=True,
    help="Kafka, where JOURNEY_KAFKA names one: make its topics, look at them.",
)


def init(as_json: AsJson = False) -> None:
    """Make the topics that are missing, with partitions and copies as set; safe to repeat.

    Those that are there stay as they are: more partitions would get deliveries of one candidate
    out of order. Exit code 1 when one differs from the settings.

    Example: journey kafka init

    JSON: a list of {topic, fate: created | exists | differs, partitions, replication, differs}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table
    from consumers.kafka_stream import topics

    with installation() as engine:
        made = topics.init(engine.cluster)
    if as_json:
        print_json(made)
    else:
        print_table(
            ("topic", "fate", "partitions", "copies", "differs"),
            [
                (each.topic, each.fate, each.partitions, each.replication, "; ".join(each.differs))
                for each in made
            ],
            empty="No topics.",
        )
    if any(each.differs for each in made):
        raise typer.Exit(FOUND)


def list_topics(as_json: AsJson = False) -> None:
    """The topics: what each carries, how long it is kept, and whether it is there.

    Example: journey kafka topics

    JSON: a list of {topic, carries, key, kept_days, personal, partitions, replication}; kept_days
    is null for ever, partitions and replication are null where the topic is missing.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table
    from consumers.kafka_stream.cluster import LOOK_SECONDS
    from consumers.kafka_stream.topics import TOPICS, standings

    with installation() as engine:
        now = standings(engine.cluster, patience_seconds=LOOK_SECONDS)
        found = [
            {
                "topic": standing.topic,
                "carries": topic.carries,
                "key": topic.key,
                "kept_days": topic.kept_days,
                "personal": topic.personal,
                "partitions": standing.partitions,
                "replication": standing.replication,
            }
            for topic, standing in zip(TOPICS, now, strict=True)
        ]
    if as_json:
        print_json(found)
        return
    print_table(
        ("topic", "partitions", "copies", "kept", "carries"),
        [
            (
                each["topic"],
                each["partitions"] or "missing",
                each["replication"],
                f"{each['kept_days']} days" if each["kept_days"] else "for ever",
                each["carries"],
            )
            for each in found
        ],
        empty="No topics.",
    )


app.command("init", help=described(init))(init)
app.command("topics", help=described(list_topics))(list_topics)
