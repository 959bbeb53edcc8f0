"""MACs and addresses that only the site chooses. Pure.

An unknown value is the empty string. The outputs of ``allocate`` and ``boot`` name the values, and become part of the recorded
resource with the record of the answer itself: ``public:<node>`` is the address of a grant, ``mac:<network>`` and
``address:<network>`` are those of an interface.
"""

from msgspec.structs import replace

from pragmaspec.resources import Allocation, Nic, Node, Outputs, Resource

UNKNOWN = ""
KNOWN_AFTER_APPLY = "(known after apply)"

_PREFIXES = ("mac:", "address:", "public:")


def names_values(outputs: Outputs) -> bool:
    """True if ``outputs`` name a value that the site has chosen."""
    return any(name.startswith(_PREFIXES) for name, _ in outputs)


def with_values(resource: Resource, outputs: Outputs) -> Resource:
    """Return ``resource`` with the values that ``outputs`` name."""
    if not names_values(outputs):
        return resource
    named = dict(outputs)
    if isinstance(resource, Node):
        nics = tuple(
            replace(nic, mac=named.get(f"mac:{nic.network}", nic.mac), address=named.get(f"address:{nic.network}", nic.address))
            for nic in resource.nics
        )
        return replace(resource, nics=with_translated_macs(nics))
    if isinstance(resource, Allocation):
        public = tuple(replace(grant, address=named.get(f"public:{grant.node}", grant.address)) for grant in resource.public)
        return replace(resource, public=public)
    return resource


def with_translated_macs(nics: tuple[Nic, ...]) -> tuple[Nic, ...]:
    """Return ``nics`` with the MAC of the private interface in those of translated addresses."""
    private = next((nic.mac for nic in nics if nic.network == "private"), UNKNOWN)
    return tuple(replace(nic, mac=private) if nic.translated else nic for nic in nics)


def without_values(outputs: Outputs) -> Outputs:
    """Return ``outputs`` without such values, which are recorded in the resource."""
    return tuple(pair for pair in outputs if not pair[0].startswith(_PREFIXES))


def unknown_values(resource: Resource) -> tuple[str, ...]:
    """Return the outputs that are missing to know ``resource`` completely."""
    if isinstance(resource, Node):
        macs = [f"mac:{nic.network}" for nic in resource.interfaces if nic.mac == UNKNOWN]
        return (*macs, *(f"address:{nic.network}" for nic in resource.nics if nic.address == UNKNOWN))
    if isinstance(resource, Allocation):
        return tuple(f"public:{grant.node}" for grant in resource.public if grant.address == UNKNOWN)
    return ()


def is_known(node: Node) -> bool:
    """True if every value of ``node`` is known."""
    return all(nic.mac and nic.address for nic in node.nics)


def with_public_address(node: Node, allocation: Allocation) -> Node:
    """Return ``node`` with its public address, which its cluster's allocation knows by now."""
    address = next((grant.address for grant in allocation.public if grant.node == node.name), UNKNOWN)
    nics = tuple(_with_address(nic, address) if nic.network == "public" else nic for nic in node.nics)
    return node if nics == node.nics else replace(node, nics=nics)


def _with_address(nic: Nic, address: str) -> Nic:
    return nic if nic.address or not address else replace(nic, address=address)
