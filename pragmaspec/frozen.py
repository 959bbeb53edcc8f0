"""The immutable base class of all plain values: typed, comparable, hashable, encoded as JSON."""

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An immutable value.

    Fields contain other values and tuples, never lists or dicts, so a value is deeply immutable.
    ``msgspec.structs.replace`` returns a changed copy; ``msgspec.json`` encodes and decodes it, and rejects unknown fields.
    Values contain no cycles, so the garbage collector does not track them (``gc=False``), and large states load faster.
    Subclasses repeat ``frozen=True``, because type checkers do not inherit it, and may omit the rest.
    """


def to_plain(value: object) -> object:
    """Return ``value`` as JSON types, with all fields of structs: ``msgspec.to_builtins`` omits defaults."""
    if isinstance(value, msgspec.Struct):
        return {name: to_plain(getattr(value, name)) for name in value.__struct_fields__}
    return [to_plain(each) for each in value] if isinstance(value, tuple) else value
