"""Write the JSON Schema of each stored version that has none yet.

`python -m tests.support.stored_schemas`

A file that is there is overwritten only by one that adds optional fields: what is stored reads
the same under both (decision 0009). Where anything else differs, the class needs a new version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.registry import BY_TOPIC

FOLDER = Path(__file__).parents[1] / "stored_schemas"


def main() -> None:
    """Write what is missing or only gained optional fields, and say what was written."""
    for topic, cls in BY_TOPIC.items():
        path = FOLDER / f"{topic}.json"
        schema = cls.model_json_schema(mode="serialization")
        kept = json.loads(path.read_text()) if path.exists() else None
        if kept == schema:
            continue
        if kept is not None and not only_adds_optional_fields(kept, schema):
            print(f"{path.name} is another shape: give it a new version")
            continue
        path.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n")
        print(f"wrote {path.name}")


def only_adds_optional_fields(kept: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether a schema is a kept one plus fields that have a default."""
    added = schema["properties"].keys() - kept["properties"].keys()
    if not all("default" in schema["properties"][name] for name in added):
        return False
    rest = {name: each for name, each in schema["properties"].items() if name not in added}
    # Words may be mended; shapes may not.
    return _shape({**schema, "properties": rest}) == _shape(kept)


def _shape(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in schema.items() if name != "description"}


if __name__ == "__main__":
    main()
