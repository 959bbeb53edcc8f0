"""The one immutable base class of every plain value: typed, comparable, hashable, JSON in and out."""

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A value that never changes after it is made.

    Fields hold other values and tuples, never lists or dicts, so a value is immutable all the way down.
    ``msgspec.structs.replace`` makes a changed copy; ``msgspec.json`` reads and writes it, refusing unknown fields.
    Values hold no cycles, so the garbage collector need not follow them (``gc=False``): large states load faster.
    Subclasses repeat ``frozen=True`` (msgspec inherits it, type checkers do not) and may leave the rest out.
    """
