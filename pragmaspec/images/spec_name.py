"""Names that come from elsewhere, as the names of a spec have to be."""

import re

from pragmaspec.errors import Problem, UsageError
from pragmaspec.spec.scalars import NAME_PATTERN

_MOST_LETTERS = 32
"""Leaves room for ``-frontend`` behind it."""


def is_spec_name(name: str) -> bool:
    """Whether a spec takes ``name`` for an image or a cluster."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), name) is not None


def spec_name(name: str) -> str:
    """``name`` as a spec has it: lower-case letters, digits and ``-``. Raises UsageError when nothing is left."""
    found = _near(name)
    if not is_spec_name(found):
        raise UsageError(Problem(summary="No name for the image", detail=f"{name!r} cannot be made a name of a spec."))
    return found


def no_spec_name(name: str) -> Problem:
    """Why ``name`` cannot stand in a spec, and what could."""
    near = _near(name)
    hint = f" {near} would do." if is_spec_name(near) else ""
    detail = (
        f"{name!r} cannot stand in a spec: a name has lower-case letters a to z, digits and -, begins with a letter, and ends "
        f"with a letter or digit.{hint}"
    )
    return Problem(summary="Not a valid name", detail=detail)


def _near(name: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MOST_LETTERS].strip("-")
    return found if found[:1].isalpha() else f"vc-{found}".strip("-")
