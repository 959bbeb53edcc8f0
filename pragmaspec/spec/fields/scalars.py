"""Field types for scalar values: how a value is read, and its JSON Schema."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pragmaspec.spec.quantity import AmountError, bytes_of, milliseconds_of
from pragmaspec.spec.value_errors import value_error, value_text
from pragmaspec.spec.yaml.scalars import FALSES, INTEGER, NUMBER, OLD_BOOLEANS, TRUES, Plain

# With "-compute-" and six digits, a node name still fits the 63 characters of a host name (RFC 1123, section 2.1).
NAME_MAX = 42
_NAME_PATTERN = "^[a-z]([a-z0-9-]{0,%d}[a-z0-9])?$"
NAME_PATTERN = _NAME_PATTERN % (NAME_MAX - 2)
MIB = 2**20
_MEMORY_MAX_MIB = 2**26
_DIGITS_MAX = 18


@dataclass(frozen=True)
class ScalarField:
    """Annotation of a model's field: ``read`` validates and converts a value, ``schema`` is the JSON Schema of its input."""

    read: Callable[[object], object]
    schema: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's hook
        """Return a schema that validates with ``read`` only."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return ``schema``."""
        return dict(self.schema)


def integer(least: int, most: int) -> ScalarField:
    """Return a field type for integers from ``least`` to ``most``."""

    def read(value: object) -> int:
        if isinstance(value, Plain):
            if not INTEGER.match(value):
                raise value_error(
                    "Not a whole number", f"{value_text(value)} is not a whole number; write one from {least} to {most}"
                )
            value = int(value) if len(value) <= _DIGITS_MAX else most + 1
        if isinstance(value, str) and INTEGER.match(value):
            raise value_error("Not a whole number", f"write {value} without quotes")
        if not isinstance(value, int) or isinstance(value, bool):
            raise value_error(
                "Not a whole number", f"{value_text(value)} is not a whole number; write one from {least} to {most}"
            )
        if not least <= value <= most:
            raise value_error("Number out of range", f"write a number from {least} to {most}")
        return value

    return ScalarField(read, {"type": "integer", "minimum": least, "maximum": most})


def index(most: int) -> ScalarField:
    """Return a field type for keys that are the index of a node, from 0 to ``most``."""

    def read(value: object) -> int:
        text = _as_text(value)
        if not text.isdecimal() or str(int(text[:_DIGITS_MAX])) != text or int(text) > most:
            raise value_error("Invalid index", f"{value_text(value)} is not the index of a node; write a number from 0 to {most}")
        return int(text)

    return ScalarField(read, {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"})


def number(least: float, most: float) -> ScalarField:
    """Return a field type for numbers from ``least`` to ``most``, with or without a decimal point."""

    def read(value: object) -> float:
        if isinstance(value, Plain) and NUMBER.match(value):
            value = float(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise value_error("Not a number", f"{value_text(value)} is not a number; write one from {least:g} to {most:g}")
        if not least <= value <= most:
            raise value_error("Number out of range", f"write a number from {least:g} to {most:g}")
        return float(value)

    return ScalarField(read, {"type": "number", "minimum": least, "maximum": most})


def boolean() -> ScalarField:
    """Return a field type for booleans."""

    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, Plain) and (value in TRUES or value in FALSES):
            return value in TRUES
        likely = _likely_boolean(value) if isinstance(value, str) else None
        if isinstance(value, str) and not isinstance(value, Plain) and value in TRUES | FALSES:
            detail = f"the quotes make it a string; write {likely} without quotes"
        elif likely:
            detail = f"{value_text(value)} is a string in YAML 1.2; write {likely}"
        else:
            detail = f"{value_text(value)} is not a boolean; write true or false"
        raise value_error("Not a boolean", detail)

    return ScalarField(read, {"type": "boolean"})


def _likely_boolean(word: str) -> str | None:
    """Return the boolean that ``word`` probably stands for, as YAML 1.2 spells it."""
    return OLD_BOOLEANS.get(word) or (word.lower() if word.lower() in {"true", "false"} else None)


def text(pattern: str = r"^[^\n]+$", advice: str = "write a string", **schema: object) -> ScalarField:
    """Return a field type for strings of one line that match ``pattern``; ``advice`` completes error messages."""
    compiled = re.compile(pattern.removesuffix("$") + r"\Z")

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise value_error("Not a string", f"{value_text(value)} is not valid here; {advice}")
        if not compiled.match(value):
            problem = f"{value_text(value)} is not valid here" if value else "the value is empty"
            raise value_error("Invalid value", f"{problem}; {advice}")
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": pattern, **schema})


def name(longest: int = NAME_MAX) -> ScalarField:
    """Return a field type for the names of images, sites, clusters and networks, with at most ``longest`` characters."""
    pattern = _NAME_PATTERN % (longest - 2)

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.match(pattern.removesuffix("$") + r"\Z", value):
            raise value_error("Invalid name", _name_advice(str(value), longest))
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": pattern})


def memory(least_mib: int = 16) -> ScalarField:
    """Return a field type for amounts of memory; the value is in MiB, rounded up."""

    def read(value: object) -> int:
        mib = -(-_bytes(value, "an amount of memory") // MIB)
        if not least_mib <= mib <= _MEMORY_MAX_MIB:
            raise value_error("Amount out of range", f"write an amount from {least_mib} MiB to 64 TiB")
        return mib

    return ScalarField(read, _AMOUNT_SCHEMA)


def disk() -> ScalarField:
    """Return a field type for disk sizes; the value is in bytes."""

    def read(value: object) -> int:
        size = _bytes(value, "a disk size")
        if not MIB <= size <= 2**50:
            raise value_error("Amount out of range", "write a size from 1 MiB to 1024 TiB")
        return -(-size // MIB) * MIB if size % 512 else size

    return ScalarField(read, _AMOUNT_SCHEMA)


def user_data_size() -> ScalarField:
    """Return a field type for sizes of user-data; the value is in bytes."""

    def read(value: object) -> int:
        size = _bytes(value, "a size", small=True)
        if not 2**10 <= size <= MIB:
            raise value_error("Amount out of range", "write a size from 1 KiB to 1 MiB")
        return size

    return ScalarField(read, _AMOUNT_SCHEMA)


def duration(least_ms: int, most_ms: int) -> ScalarField:
    """Return a field type for durations; the value is in milliseconds."""

    def read(value: object) -> int:
        try:
            found = milliseconds_of(_as_text(value))
        except AmountError as error:
            raise value_error("Not a duration", f"{value_text(value)} is not a duration; {error}") from None
        if not least_ms <= found <= most_ms:
            raise value_error(
                "Duration out of range", f"write a duration from {least_ms / 1000:g} s to {most_ms / 3_600_000:g} h"
            )
        return found

    return ScalarField(read, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|h)$"})


def _bytes(value: object, quantity: str, *, small: bool = False) -> int:
    try:
        return bytes_of(_as_text(value), small=small)
    except AmountError as error:
        unitless = _as_text(value).isdecimal()
        problem = f"{value} has no unit" if unitless else f"{value_text(value)} is not {quantity}"
        raise value_error("Unit missing" if unitless else "Invalid amount", f"{problem}; {error}") from None


def _as_text(value: object) -> str:
    """Return the text of ``value``; a Python number is treated like a number without a unit in a file."""
    return value if isinstance(value, str) else value_text(value).strip("`")


def _name_advice(value: str, longest: int) -> str:
    rule = f"a to z, digits and hyphens, begin with a letter, end with a letter or digit, and have at most {longest} characters"
    suggestion = re.sub(r"[^a-z0-9]+", "-", value.lower()).lstrip("-0123456789")[:longest].rstrip("-")
    hint = f"; `{suggestion}` would be valid" if re.match(_NAME_PATTERN % (longest - 2), suggestion) else ""
    return f"names consist of {rule}{hint}"


_AMOUNT_SCHEMA = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)$"}
