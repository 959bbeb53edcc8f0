"""Field types for network values: addresses, address ranges, networks, and VLAN numbers."""

import re
from ipaddress import IPv4Address, IPv4Network

from pydantic_core import PydanticCustomError

from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.value_errors import PartError, part_errors, summary_and_detail, value_error, value_text

_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
ADDRESS_PATTERN = rf"^{_OCTET}(\.{_OCTET}){{3}}$"
RANGE_PATTERN = rf"^{_OCTET}(\.{_OCTET}){{3}}( ?- ?{_OCTET}(\.{_OCTET}){{3}})?$"
NETWORK_PATTERN = rf"^{_OCTET}(\.{_OCTET}){{3}}/([89]|[12][0-9]|30)$"
SOURCE_PATTERN = rf"^{_OCTET}(\.{_OCTET}){{3}}/(3[0-2]|[12]?[0-9])$"
_VLAN_RANGE = re.compile(r"([1-9][0-9]{0,3})( ?- ?([1-9][0-9]{0,3}))?\Z")
VLAN_MAX = 4094
PREFIX_MIN, PREFIX_MAX = 8, 30
FIRST_COMPUTE = 10
"""Offset of the first compute's address from the network address; the frontend's offset is 1."""


def address(advice: str = "write one such as 192.0.2.10") -> ScalarField:
    """Return a field type for an IPv4 address; the value is its text."""

    def read(value: object) -> str:
        return str(_address(value, advice))

    return ScalarField(read, {"type": "string", "pattern": ADDRESS_PATTERN})


def public_address() -> ScalarField:
    """Return a field type for ``pool``, ``none`` or an IPv4 address."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in {"pool", "none"}:
            return str(value)
        return str(_address(value, "write pool (the site's next free address), none, or an address such as 192.0.2.10"))

    return ScalarField(read, {"anyOf": [{"enum": ["pool", "none"]}, {"type": "string", "pattern": ADDRESS_PATTERN}]})


def address_range() -> ScalarField:
    """Return a field type for an IPv4 address or an inclusive range; the value is ``first`` or ``first-last``."""

    def read(value: object) -> str:
        advice = "write an address such as 192.0.2.10 or a range such as 192.0.2.10-192.0.2.40"
        ends = (
            [_address(end.strip(), advice) for end in str(value).split("-", 1)]
            if isinstance(value, str)
            else [_address(value, advice)]
        )
        if ends[-1] < ends[0]:
            raise value_error("Range reversed", f"write {ends[-1]}-{ends[0]}")
        return "-".join(str(end) for end in ends)

    return ScalarField(read, {"type": "string", "pattern": RANGE_PATTERN})


def network() -> ScalarField:
    """Return a field type for an IPv4 network, /8 to /30; the value is its text."""

    def read(value: object) -> str:
        found = _network(value)
        if found.is_multicast or found.is_loopback or found.is_link_local or found.is_unspecified:
            raise value_error("Not a usable network", f"{found} is reserved; write a network such as 10.22.0.0/24")
        if not PREFIX_MIN <= found.prefixlen <= PREFIX_MAX:
            raise value_error(
                "Not a usable network", f"/{found.prefixlen} is not between /8 and /30; write a network such as 10.22.0.0/24"
            )
        return str(found)

    return ScalarField(read, {"type": "string", "pattern": NETWORK_PATTERN})


def source_network() -> ScalarField:
    """Return a field type for the sources of traffic, an IPv4 network of any size; the value is its text."""

    def read(value: object) -> str:
        return str(_network(value))

    return ScalarField(read, {"type": "string", "pattern": SOURCE_PATTERN})


def vlan_ranges() -> ScalarField:
    """Return a field type for VLAN numbers: a number, a range, or a list of them; the value is a sorted tuple of ranges."""

    def read(value: object) -> tuple[tuple[int, int], ...]:
        if not isinstance(value, list | tuple):
            return (_vlan_range(value),)
        if not value:
            raise value_error("No VLAN numbers", "write a range such as 20-99, or a list of numbers and ranges")
        ranges: list[tuple[int, int]] = []
        parts: list[PartError] = []
        for position, part in enumerate(value):
            try:
                found = _vlan_range(part)
            except PydanticCustomError as error:
                parts.append(((position,), *summary_and_detail(error)))
                continue
            duplicate = next((max(first, found[0]) for first, last in ranges if first <= found[1] and found[0] <= last), None)
            if duplicate is not None:
                parts.append(((position,), "Duplicate VLAN number", f"{duplicate} is listed twice; list each number once"))
            ranges.append(found)
        if parts:
            raise part_errors(parts)
        return tuple(sorted(ranges))

    one = {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": VLAN_MAX},
            {"type": "string", "pattern": r"^[1-9][0-9]{0,3}( ?- ?[1-9][0-9]{0,3})?$"},
        ]
    }
    return ScalarField(read, {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]})


def compute_capacity(cidr: str) -> int:
    """Return the maximum number of computes in a private network, beside the frontend."""
    return max(0, IPv4Network(cidr).num_addresses - FIRST_COMPUTE - 1)


def ranges_contain(ranges: tuple[str, ...], wanted: str) -> bool:
    """True if the address ``wanted`` is in one of ``ranges`` (values of :func:`address_range`)."""
    for item in ranges:
        first, _, last = item.partition("-")
        if IPv4Address(first) <= IPv4Address(wanted) <= IPv4Address(last or first):
            return True
    return False


def _address(value: object, advice: str) -> IPv4Address:
    if isinstance(value, str) and ":" in value:
        raise value_error(
            "Not an IPv4 address", f"{value_text(value)} is not an IPv4 address, and IPv6 is not supported; {advice}"
        )
    try:
        found = IPv4Address(str(value) if isinstance(value, str) else None)
    except ValueError:
        raise value_error("Not an IPv4 address", f"{value_text(value)} is not an IPv4 address; {advice}") from None
    if found.is_unspecified or found.is_loopback or found.is_multicast or found == IPv4Address("255.255.255.255"):
        raise value_error("Not a usable address", f"{found} is a reserved address; {advice}")
    return found


def _network(value: object) -> IPv4Network:
    advice = "write a network such as 10.22.0.0/24"
    if not isinstance(value, str) or "/" not in value:
        raise value_error("Not a network", f"{value_text(value)} is not an IPv4 network; {advice}")
    try:
        return IPv4Network(str(value))
    except ValueError:
        pass
    try:
        network = IPv4Network(str(value), strict=False)
    except ValueError:
        raise value_error("Not a network", f"{value_text(value)} is not an IPv4 network; {advice}") from None
    raise value_error("Not a network", f"{value} is an address in the network {network}; write {network}")


def _vlan_range(value: object) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _VLAN_RANGE.match(value) if isinstance(value, str) else None
    if not found:
        raise value_error("Invalid VLAN numbers", f"{value_text(value)} is not a number or range; write one such as 22 or 20-99")
    first, last = int(found[1]), int(found[3] or found[1])
    if last > VLAN_MAX:
        raise value_error("Number out of range", f"{last} exceeds {VLAN_MAX}, the largest VLAN number; write a smaller one")
    if last < first:
        raise value_error("Range reversed", f"write {last}-{first}")
    return first, last
