"""Write the JSON Schema of each stored version that has none yet.

`python -m tests.support.stored_schemas`

A file that is there is never overwritten: where a test says it differs, the class needs a new
version.
"""

from __future__ import annotations

import json
from pathlib import Path

from schemas.registry import BY_TOPIC

FOLDER = Path(__file__).parents[1] / "stored_schemas"


def main() -> None:
    """Write what is missing and say what was written."""
    for topic, cls in BY_TOPIC.items():
        path = FOLDER / f"{topic}.json"
        if not path.exists():
            schema = cls.model_json_schema(mode="serialization")
            path.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
