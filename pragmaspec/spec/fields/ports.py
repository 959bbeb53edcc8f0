"""A field type for the ports of TCP and UDP."""

import re

from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.value_errors import value_error, value_text

PORT_MAX = 65535
_RANGE = re.compile(r"([1-9][0-9]{0,4})( ?- ?([1-9][0-9]{0,4}))?\Z")
_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": PORT_MAX},
        {"type": "string", "pattern": r"^[1-9][0-9]{0,4}( ?- ?[1-9][0-9]{0,4})?$"},
    ]
}


def port_range() -> ScalarField:
    """Return a field type for a port or an inclusive range of ports; the value is the pair of the first and the last."""

    def read(value: object) -> tuple[int, int]:
        advice = "write a port such as 443, or a range such as 8000-8080"
        found = _RANGE.match(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
        if found is None:
            raise value_error("Not a port", f"{value_text(value)} is neither a port nor a range of ports; {advice}")
        first, last = int(found[1]), int(found[3] or found[1])
        if last > PORT_MAX:
            raise value_error("Not a port", f"{last} is larger than {PORT_MAX}; {advice}")
        if last < first:
            raise value_error("Range reversed", f"write {last}-{first}")
        return first, last

    return ScalarField(read, _SCHEMA)
