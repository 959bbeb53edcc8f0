"""JSON for people and programs: indented, keys in the order of the documentation, one newline at the end."""

import json
from collections.abc import Mapping, Sequence


def json_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """``value`` as JSON text in ASCII, so that no terminal obeys what stands in it."""
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"
