"""The base of every model of the spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Model(BaseModel):
    """A part of the spec: immutable, and without unknown keys.

    Attributes have a unit in their name if the value of the YAML key contains it (``memory: 1 GiB`` is ``memory_mib``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class ShortForm:
    """Annotation of a model's field: a string is a short form of a mapping that contains only ``key``.

    ``words`` are the possible strings; if empty, ``schema`` describes them.
    """

    key: str
    words: tuple[str, ...] = ()
    schema: Mapping[str, object] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's hook
        """Expand the short form before validation."""
        return core_schema.no_info_before_validator_function(self._expanded, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the short form or the mapping."""
        return {"anyOf": [{"enum": list(self.words)} if self.words else dict(self.schema), handler(core)]}

    def _expanded(self, value: object) -> object:
        return {self.key: value} if isinstance(value, str) else value


@dataclass(frozen=True)
class OneOrMore:
    """Annotation of a list of strings: a string is a short form of the list that contains only it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's hook
        """Expand the short form before validation."""
        return core_schema.no_info_before_validator_function(self._expanded, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of one item or the list."""
        found = handler(core)
        return {"anyOf": [found["items"], found]}

    @staticmethod
    def _expanded(value: object) -> object:
        return [value] if isinstance(value, str) else value
