"""Untyped YAML scalars: the type of a value is determined by its field, not by its spelling."""

import re


class Plain(str):
    """An unquoted YAML scalar, whose type is determined by its field; a quoted scalar is an ordinary ``str``."""

    __slots__ = ()


INTEGER = re.compile(r"(0|-?[1-9][0-9]*)\Z")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z")
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
TRUES = frozenset({"true", "True", "TRUE"})
FALSES = frozenset({"false", "False", "FALSE"})
OLD_BOOLEANS = {
    **dict.fromkeys(("yes", "Yes", "YES", "on", "On", "ON"), "true"),
    **dict.fromkeys(("no", "No", "NO", "off", "Off", "OFF"), "false"),
}
"""YAML 1.1 booleans (https://yaml.org/type/bool.html, without y and n) that are strings in YAML 1.2."""


def is_null(text: str) -> bool:
    """True if an unquoted scalar is null (YAML 1.2.2, section 10.3.2)."""
    return text in NULLS


def is_typed(text: str) -> bool:
    """True if an unquoted scalar is not a string in YAML 1.2's core schema."""
    return text in TRUES or text in FALSES or is_null(text) or _CORE_NUMBER.match(text) is not None


_CORE_NUMBER = re.compile(
    r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
)
