"""The kinds of single values a spec holds: how each is read, and how its JSON Schema describes it."""

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

# With "-compute-" and six digits a node's name still has fewer than the 63 characters of a host name (RFC 1123, section 2.1).
NAME_PATTERN = "^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$"
MIB = 2**20
_MEMORY_MAX_MIB = 2**26
_DIGITS_MAX = 18


@dataclass(frozen=True)
class ScalarField:
    """Annotation of a model's field: ``read`` makes the value (or raises), ``schema`` describes what may be written."""

    read: Callable[[object], object]
    schema: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's hook
        """Validate with ``read`` alone."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe by ``schema``."""
        return dict(self.schema)


def integer(least: int, most: int) -> ScalarField:
    """A whole number from ``least`` to ``most``."""

    def read(value: object) -> int:
        if isinstance(value, Plain):
            if not INTEGER.match(value):
                raise value_error(
                    "Not a whole number", f"{value_text(value)} is no whole number; write one from {least} to {most}"
                )
            value = int(value) if len(value) <= _DIGITS_MAX else most + 1
        if isinstance(value, str) and INTEGER.match(value):
            raise value_error("Not a whole number", f"write {value} without quotes")
        if not isinstance(value, int) or isinstance(value, bool):
            raise value_error("Not a whole number", f"{value_text(value)} is no whole number; write one from {least} to {most}")
        if not least <= value <= most:
            raise value_error("Number out of range", f"write a number from {least} to {most}")
        return value

    return ScalarField(read, {"type": "integer", "minimum": least, "maximum": most})


def number(least: float, most: float) -> ScalarField:
    """A number from ``least`` to ``most``, with or without a decimal point."""

    def read(value: object) -> float:
        if isinstance(value, Plain) and NUMBER.match(value):
            value = float(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise value_error("Not a number", f"{value_text(value)} is no number; write one from {least:g} to {most:g}")
        if not least <= value <= most:
            raise value_error("Number out of range", f"write a number from {least:g} to {most:g}")
        return float(value)

    return ScalarField(read, {"type": "number", "minimum": least, "maximum": most})


def boolean() -> ScalarField:
    """``true`` or ``false``."""

    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, Plain) and (value in TRUES or value in FALSES):
            return value in TRUES
        meant = (
            OLD_BOOLEANS.get(value) or OLD_BOOLEANS.get({"true": "on", "false": "off"}.get(value.lower(), ""))
            if isinstance(value, str)
            else None
        )
        quoted = isinstance(value, str) and not isinstance(value, Plain) and value in TRUES | FALSES
        if quoted:
            raise value_error("Neither true nor false", f"in quotes it is a text; write {meant} without them")
        raise value_error(
            "Neither true nor false", f"write {meant}" if meant else f"{value_text(value)} is neither; write true or false"
        )

    return ScalarField(read, {"type": "boolean"})


def text(pattern: str = r"^[^\n]+$", advice: str = "write some text", **schema: object) -> ScalarField:
    """One line of text that matches ``pattern``; ``advice`` says what to write."""
    compiled = re.compile(pattern.removesuffix("$") + r"\Z")

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise value_error("Not text", f"{value_text(value)} does not fit here; {advice}")
        if not compiled.match(value):
            raise value_error(
                "Not valid here", f"{value_text(value)} does not fit; {advice}" if value else f"it is empty; {advice}"
            )
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": pattern, **schema})


def name() -> ScalarField:
    """A name of an image, site, cluster or network."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.match(NAME_PATTERN.removesuffix("$") + r"\Z", value):
            raise value_error("Not a valid name", _name_advice(str(value)))
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": NAME_PATTERN})


def memory(least_mib: int = 16) -> ScalarField:
    """An amount of memory; the value is in MiB, rounded up."""

    def read(value: object) -> int:
        mib = -(-_bytes(value, "memory") // MIB)
        if not least_mib <= mib <= _MEMORY_MAX_MIB:
            raise value_error("Amount out of range", f"memory is from {least_mib} MiB to 64 TiB")
        return mib

    return ScalarField(read, _AMOUNT_SCHEMA)


def disk() -> ScalarField:
    """A size of a disk; the value is in bytes."""

    def read(value: object) -> int:
        size = _bytes(value, "a disk size")
        if not MIB <= size <= 2**50:
            raise value_error("Amount out of range", "a disk is from 1 MiB to 1024 TiB")
        return -(-size // MIB) * MIB if size % 512 else size

    return ScalarField(read, _AMOUNT_SCHEMA)


def duration(least_ms: int, most_ms: int) -> ScalarField:
    """A length of time; the value is in milliseconds."""

    def read(value: object) -> int:
        try:
            found = milliseconds_of(_as_text(value))
        except AmountError as error:
            raise value_error("Not a length of time", f"{value_text(value)} is not one; {error}") from None
        if not least_ms <= found <= most_ms:
            raise value_error("Time out of range", f"write a time from {least_ms / 1000:g} s to {most_ms / 3_600_000:g} h")
        return found

    return ScalarField(read, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|h)$"})


def _bytes(value: object, what: str) -> int:
    try:
        return bytes_of(_as_text(value))
    except AmountError as error:
        bare = _as_text(value).isdecimal()
        problem = f"{value} has no unit" if bare else f"{value_text(value)} is not {what}"
        raise value_error("Amount without a unit" if bare else "Not an amount", f"{problem}; {error}") from None


def _as_text(value: object) -> str:
    """A number of Python is read like one in a file: without a unit."""
    return value if isinstance(value, str) else value_text(value).strip("`")


def _name_advice(value: str) -> str:
    rule = (
        "lower-case letters a to z, digits and -, beginning with a letter, ending with a letter or digit, at most 42 characters"
    )
    guess = re.sub(r"[^a-z0-9]+", "-", value.lower()).lstrip("-0123456789")[:42].rstrip("-")
    hint = f"; {guess} would do" if re.match(NAME_PATTERN, guess) else ""
    return f"a name has {rule}{hint}"


_AMOUNT_SCHEMA = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)$"}
