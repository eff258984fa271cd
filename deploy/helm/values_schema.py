"""Writes the schema of leakwatch.yml into values.schema.json: python deploy/helm/values_schema.py [FILE].

In that file, `definitions`, `config` and `scrapeConfigs` are generated from the models of the configuration. All
other parts are written by hand. Helm reads draft 7 and pydantic writes 2020-12; the used keywords are common to
both, except for the place of the definitions. The schema is stricter than leakwatch in one point: numbers and
booleans must not be quoted.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from leakwatch.config import Config

FILE: Final = Path(__file__).parent / "leakwatch" / "values.schema.json"
ANNOTATIONS: Final = {"default", "description", "examples", "title", "writeOnly"}
"""Keywords that validate nothing."""
VALUES: Final = {
    *("const", "enum", "exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "minItems", "minLength"),
    *("pattern", "required", "type"),
}
"""Keywords that are the same in both drafts."""
CHART: Final = ("scrape_configs", "web")
"""Keys that the templates reject, with the value of the chart to use instead."""

Schema = Mapping[str, Any]


def draft_7(schema: Schema) -> dict[str, Any]:
    """Return a schema in draft 7, without annotations; raises ValueError for a keyword that is not converted."""
    converted: dict[str, Any] = {}
    for key, value in schema.items():
        if key in VALUES or (key == "additionalProperties" and isinstance(value, bool)):
            converted[key] = value
        elif key == "$ref":
            converted[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "properties":
            converted[key] = {name: draft_7(part) for name, part in value.items()}
        elif key in {"items", "additionalProperties", "propertyNames"}:
            converted[key] = draft_7(value)
        elif key == "anyOf":
            converted |= _either([draft_7(option) for option in value])
        # `format` is left out, because Helm would reject `until: 2027-01-31` by the format date-time.
        elif key not in {*ANNOTATIONS, "$defs", "format"}:
            raise ValueError(f"the schema has {key!r}, which values_schema.py does not convert")
    return converted


def _either(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of a value that one of `options` permits; errors of `anyOf` are less clear."""
    match options:
        case [{"type": str(kind)} as schema, {"type": "null"}] if not {"const", "enum"} & schema.keys():
            return {**schema, "type": [kind, "null"]}
    return {"anyOf": options}


def with_configuration(values: Schema) -> dict[str, Any]:
    """Return the schema of the values with the current schema of the configuration."""
    schema = Config.model_json_schema(by_alias=True)
    config = draft_7(schema)
    config["properties"] |= dict.fromkeys(CHART, True)
    properties = values["properties"] | {
        "config": config,
        "scrapeConfigs": {"type": "array", "items": {"$ref": "#/definitions/ScrapeConfig"}},
    }
    definitions = {name: draft_7(part) for name, part in schema["$defs"].items()}
    return {**values, "properties": properties, "definitions": definitions}


def main(file: Path) -> None:
    """Update the file."""
    values = json.loads(file.read_text())
    file.write_text(json.dumps(with_configuration(values), indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FILE)
