"""The base of every model of the spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Model(BaseModel):
    """A part of the spec: never changed after it is made, and without a place for keys nobody knows.

    Attributes say their units where the YAML key leaves them to the value (``memory: 1 GiB`` is ``memory_mib``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class ShortForm:
    """Annotation of a model's field: one word may stand for a mapping, and is the value of its ``key``.

    ``words`` are all that it may be; none: whatever ``schema`` describes.
    """

    key: str
    words: tuple[str, ...] = ()
    schema: Mapping[str, object] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's hook
        """Write the word out before validating."""
        return core_schema.no_info_before_validator_function(self._written_out, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A word, or the mapping."""
        return {"anyOf": [{"enum": list(self.words)} if self.words else dict(self.schema), handler(core)]}

    def _written_out(self, value: object) -> object:
        return {self.key: value} if isinstance(value, str) else value
