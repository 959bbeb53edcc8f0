"""The JSON Schemas (2020-12) of specs and sites files, for completion and validation in editors.

``python -m pragmaspec.spec.json_schema`` prints the schema of specs, with the argument ``sites`` that of sites files.
"""

import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pragmaspec.spec.models.cluster import sites_model, spec_model
from pragmaspec.spec.validation.site_providers import further_models
from pragmaspec.typing import override


class _Schema(GenerateJsonSchema):
    """Generates schemas without null, because unset keys are omitted from the file, and without titles."""

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) in (None, [], ""):
            found.pop("default")
        return found

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_text(*, installed: bool = False) -> str:
    """Return the schema of specs. ``installed``: with the installed providers of other packages.

    Raises SpecError if one of these cannot be used.
    """
    return _text(spec_model(further_models(installed=installed)), "pragmaspec spec")


def sites_schema_text(*, installed: bool = False) -> str:
    """Return the schema of sites files, as :func:`schema_text`."""
    return _text(sites_model(further_models(installed=installed)), "pragmaspec sites file")


def _text(model: type[BaseModel], title: str) -> str:
    found = model.model_json_schema(schema_generator=_Schema)
    for definition in found.get("$defs", {}).values():
        definition.pop("title", None)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(sites_schema_text() if sys.argv[1:] == ["sites"] else schema_text())
