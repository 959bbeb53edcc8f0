"""The JSON Schema (2020-12) of the spec and of sites files: completion and checking in editors.

``python -m pragmaspec.spec.json_schema > schemas/pragmaspec.schema.json``, and with the argument ``sites`` the other one.
"""

import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pragmaspec.spec.models.cluster import SitesModel, SpecModel


class _Schema(GenerateJsonSchema):
    """A file has no null: what is not wanted is left out. Titles would only repeat the keys."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What may stand there, when something does."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The default, unless it is that nothing stands there."""
        found = super().default_schema(schema)
        if found.get("default", ...) in (None, [], ""):
            found.pop("default")
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's signature
        """No titles."""
        return False


def schema_text() -> str:
    """The schema of the spec, as the text of a file."""
    return _text(SpecModel)


def sites_schema_text() -> str:
    """The schema of ``sites.yaml``, as the text of a file."""
    return _text(SitesModel)


def _text(model: type[BaseModel]) -> str:
    found = model.model_json_schema(schema_generator=_Schema)
    for definition in found.get("$defs", {}).values():
        definition.pop("title", None)
    title = "pragmaspec spec" if model is SpecModel else "pragmaspec sites file"
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(sites_schema_text() if sys.argv[1:] == ["sites"] else schema_text())
