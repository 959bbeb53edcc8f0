"""Scalars as they were written: the schema gives a value its type, not its spelling."""

import re


class Plain(str):
    """An unquoted YAML scalar. Its type is decided by the field it stands in; a quoted scalar is an ordinary ``str``."""

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
"""YAML 1.1 booleans (https://yaml.org/type/bool.html, without y and n): words in YAML 1.2."""


def is_null(text: str) -> bool:
    """Whether an unquoted scalar means "no value" (YAML 1.2.2, section 10.3.2)."""
    return text in NULLS


def is_typed(text: str) -> bool:
    """Whether YAML 1.2 core reads an unquoted scalar as something else than text."""
    return text in TRUES or text in FALSES or is_null(text) or _CORE_NUMBER.match(text) is not None


_CORE_NUMBER = re.compile(
    r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
)
