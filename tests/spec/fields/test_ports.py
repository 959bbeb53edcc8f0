"""Ports and ranges of ports."""

from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from pragmaspec.spec.fields.ports import port_range

PORTS = TypeAdapter(Annotated[tuple[int, int], port_range()])


@pytest.mark.parametrize(
    ("written", "ports"), [(443, (443, 443)), ("443", (443, 443)), ("8000-8080", (8000, 8080)), ("1 - 65535", (1, 65535))]
)
def test_a_port_or_a_range_is_a_pair(written: object, ports: tuple[int, int]) -> None:
    assert PORTS.validate_python(written) == ports


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (True, "neither a port"),
        (0, "neither a port"),
        ("http", "neither a port"),
        (65536, "larger than 65535"),
        ("80-70000", "larger"),
        ("90-80", "write 80-90"),
    ],
)
def test_another_value_is_refused_with_advice(written: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PORTS.validate_python(written)
