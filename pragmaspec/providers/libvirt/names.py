"""What our objects are called at a libvirt site, and what a name says about whose it is. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pragmaspec.resources import Mark, StagedImage

PREFIX = "pragmaspec"

_NODE = re.compile(r"(?P<node>[^.]+)\.(?P<short>[0-9a-f]{8})")
_DISK = re.compile(_NODE.pattern + r"(?:\.g(?P<generation>[1-9][0-9]*))?\.qcow2")
_NODE_VOLUME = re.compile(
    _NODE.pattern + r"(?:\.g(?P<generation>[1-9][0-9]*))?(?:\.qcow2|-seed\.iso|-nvram\.fd|-filling|-console\.log(?:\.[0-9]+)?)"
)
_LAYER = re.compile(_NODE.pattern + r"(?:\.g(?P<generation>[1-9][0-9]*))?\..+")
_ROLE = re.compile(r"(?P<cluster>.+)-(?P<which>frontend|compute-[0-9]+)")
_COMPLETE = re.compile(PREFIX + r"-(?P<digest>[0-9a-f]{64})\.complete")
_REFERENCE = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})\.(?P<short>[0-9a-f]{8})\.ref")
_IMAGE_FILE = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})-(?:disk\.(?:qcow2|raw)|kernel|initrd)(?:\.[0-9a-f]{8}\.part)?")
_MARKER = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})(?:[0-9a-f]{48}\.complete|\.[0-9a-f]{8}\.(?:ref|staging))")
_VLAN = re.compile(PREFIX + r"-vlan-(?P<vlan>[0-9]+)")
_ADDRESS = re.compile(PREFIX + r"-address-(?P<address>[0-9.]+)")


class NodeVolume(NamedTuple):
    """What a volume's name says: the node it belongs to, the first digits of its stack, and the build of the node."""

    node: str
    short: str
    generation: int


def domain_name(node: str, mark: Mark) -> str:
    """``<node>.<lineage8>``, the node as it was called when it was made.

    ``mark`` is the node's own, or that of its cluster's allocation.
    """
    return f"{made_name(node, mark)}.{mark.short}"


def made_name(node: str, mark: Mark) -> str:
    """What the node called ``node`` now was called when what ``mark`` names was made: clusters can be renamed."""
    _, _, inside = mark.address.partition("/")
    cluster, _, what = inside.partition("/")
    if what.startswith("node/"):
        return what.removeprefix("node/")
    found = _ROLE.fullmatch(node)
    return f"{cluster}-{found['which']}" if found and what else node


def parsed_domain(name: str) -> tuple[str, str] | None:
    """Node and first digits of the lineage, when ``name`` is one that :func:`domain_name` gives."""
    found = _NODE.fullmatch(name)
    return (found["node"], found["short"]) if found else None


def made_cluster(cluster: str, mark: Mark) -> str:
    """What ``cluster`` was called when what ``mark`` names, an allocation or a node, was made."""
    parts = mark.address.split("/")
    return parts[1] if len(parts) > 1 else cluster


def _node_base(node: str, mark: Mark) -> str:
    """A rebuilt node gets volumes of a new name, so that an old disk is never taken for the new one."""
    return domain_name(node, mark) + (f".g{mark.generation}" if mark.generation else "")


def disk_volume(node: str, mark: Mark) -> str:
    """The node's own overlay."""
    return f"{_node_base(node, mark)}.qcow2"


def seed_volume(node: str, mark: Mark) -> str:
    """The node's NoCloud seed."""
    return f"{_node_base(node, mark)}-seed.iso"


def nvram_volume(node: str, mark: Mark) -> str:
    """The variables of the node's UEFI firmware. libvirt makes the file."""
    return f"{_node_base(node, mark)}-nvram.fd"


def filling_marker(node: str, mark: Mark) -> str:
    """There while the node's disk is filled with its first files."""
    return f"{_node_base(node, mark)}-filling"


def console_volume(node: str, mark: Mark) -> str:
    """What the node's serial console printed."""
    return f"{_node_base(node, mark)}-console.log"


def parsed_disk(name: str) -> NodeVolume | None:
    """What ``name`` says when it is a node's disk."""
    return _node_volume(_DISK.fullmatch(name))


def parsed_node_volume(name: str) -> NodeVolume | None:
    """What ``name`` says when it is any volume of a node, rotated console logs included."""
    return _node_volume(_NODE_VOLUME.fullmatch(name))


def parsed_layer(name: str) -> NodeVolume | None:
    """The parts of a snapshot's file ``name``: libvirt replaces ``qcow2`` in that of a node's disk by the snapshot's name."""
    return None if parsed_node_volume(name) else _node_volume(_LAYER.fullmatch(name))


def _node_volume(found: re.Match[str] | None) -> NodeVolume | None:
    return NodeVolume(found["node"], found["short"], int(found["generation"] or 0)) if found else None


def cluster_of(node: str) -> str:
    """The cluster a node belongs to, from the names that planning gives: ``<cluster>-frontend``, ``<cluster>-compute-<i>``."""
    found = _ROLE.fullmatch(node)
    return found["cluster"] if found else node


def node_address(site: str, node: str) -> str:
    """Address of the node called ``node``; for what outlived its domain and so lost its marks."""
    return f"{site}/{cluster_of(node)}/node/{node}"


def allocation_address(site: str, node: str) -> str:
    """Address of the allocation that a node's claim belongs to."""
    return f"{site}/{cluster_of(node)}/allocation"


def _image_base(digest: str) -> str:
    return f"{PREFIX}-{digest[:16]}"


def image_volumes(image: StagedImage) -> dict[str, str]:
    """Volume names of an image's parts by part: disk, kernel, initrd."""
    base = _image_base(image.digest)
    parts = {"disk": f"{base}-disk.{image.format}"}
    if image.kernel:
        parts["kernel"] = f"{base}-kernel"
    if image.initrd:
        parts["initrd"] = f"{base}-initrd"
    return parts


def coming_volume(part: str, mark: Mark) -> str:
    """The volume that a part of an image is written to before it is known to be what it shall be."""
    return f"{part}.{mark.short}.part"


def image_files(volumes: Iterable[str], digest: str) -> set[str]:
    """All volumes that hold bytes of the image, finished or not, in whatever format."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}-") and _IMAGE_FILE.fullmatch(name)}


def image_parts(volumes: Iterable[str], digest: str) -> dict[str, str]:
    """The volumes that hold the whole of a part of the image, by part: disk, kernel, initrd."""
    base = f"{_image_base(digest)}-"
    names = (name for name in image_files(volumes, digest) if not name.endswith(".part"))
    return {name.removeprefix(base).partition(".")[0]: name for name in names}


def image_markers(volumes: Iterable[str], digest: str) -> set[str]:
    """All markers of the image, whoever's."""
    return {name for name in volumes if (found := _MARKER.fullmatch(name)) and found["digest16"] == digest[:16]}


def image_digests(volumes: Iterable[str]) -> tuple[str, ...]:
    """The digests of all images of which anything is there, sorted: only the first 16 digits of those that are not whole."""
    found = {match["digest16"] for name in volumes if (match := _IMAGE_FILE.fullmatch(name) or _MARKER.fullmatch(name))}
    whole = {digest[:16]: digest for digest in staged_digests(set(volumes))}
    return tuple(sorted(whole.get(digest16, digest16) for digest16 in found))


def users(volumes: Iterable[str], digest: str) -> tuple[str, ...]:
    """The first digits of the lineages that say they use the image, sorted."""
    found = (_REFERENCE.fullmatch(name) for name in volumes)
    return tuple(sorted(match["short"] for match in found if match and match["digest16"] == digest[:16]))


def complete_marker(digest: str) -> str:
    """There once every part of the image is whole. Carries the whole digest, so that a listing tells which images are there."""
    return f"{PREFIX}-{digest}.complete"


def parsed_complete(name: str) -> str | None:
    """The digest, when ``name`` is a completion marker."""
    found = _COMPLETE.fullmatch(name)
    return found["digest"] if found else None


def reference_marker(digest: str, mark: Mark) -> str:
    """There while the stack uses the image."""
    return f"{_image_base(digest)}.{mark.short}.ref"


def staging_marker(digest: str, mark: Mark) -> str:
    """There while the stack uploads the image."""
    return f"{_image_base(digest)}.{mark.short}.staging"


def references(volumes: set[str], digest: str) -> set[str]:
    """All stacks' use marks of the image."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}.") and name.endswith(".ref")}


def stagings(volumes: set[str], digest: str) -> set[str]:
    """All stacks' upload marks of the image."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}.") and name.endswith(".staging")}


def digests_used(volumes: set[str], lineage: str) -> tuple[str, ...]:
    """The digests of all images that the stack uses, sorted; of those that are not whole, only the first 16 digits."""
    return tuple(digest for digest in image_digests(volumes) if lineage[:8] in users(volumes, digest))


def used_by(volumes: set[str], lineage: str) -> tuple[str, ...]:
    """Digests of the whole images that the stack uses, sorted."""
    found = (_REFERENCE.fullmatch(name) for name in volumes)
    short = {match["digest16"] for match in found if match and match["short"] == lineage[:8]}
    return tuple(digest for digest in staged_digests(volumes) if digest[:16] in short)


def staged_digests(volumes: set[str]) -> tuple[str, ...]:
    """Digests of all whole images, sorted."""
    return tuple(sorted(digest for name in volumes if (digest := parsed_complete(name))))


def is_marker(name: str) -> bool:
    """Whether a volume is one of the empty ones whose name is all they say."""
    return name.startswith(f"{PREFIX}-") and name.endswith((".complete", ".ref", ".staging"))


def is_image_part(name: str) -> bool:
    """Whether a volume is part of a staged image, or will be."""
    return _IMAGE_FILE.fullmatch(name) is not None


def is_kernel(name: str) -> bool:
    """Whether a volume is the kernel of a staged image."""
    return name.startswith(f"{PREFIX}-") and name.endswith("-kernel")


def vlan_network(vlan: int) -> str:
    """The network that carries the number; its name is the claim."""
    return f"{PREFIX}-vlan-{vlan}"


def parsed_vlan(name: str) -> int | None:
    """The VLAN number, when ``name`` claims one."""
    found = _VLAN.fullmatch(name)
    return int(found["vlan"]) if found else None


def plain_network(cluster: str, network: str, mark: Mark) -> str:
    """A network without a number: ``<cluster>.<lineage8>``, an extra one ``<cluster>-<network>.<lineage8>``.

    The cluster is that of ``mark``, which its allocation or one of its nodes has: as it was called when it was made.
    """
    cluster = made_cluster(cluster, mark)
    return f"{cluster}.{mark.short}" if network == "private" else f"{cluster}-{network}.{mark.short}"


def address_network(address: str) -> str:
    """The never started network whose name claims a public address where no DHCP server keeps a list."""
    return f"{PREFIX}-address-{address}"


def parsed_address(name: str) -> str | None:
    """The address, when ``name`` claims one."""
    found = _ADDRESS.fullmatch(name)
    return found["address"] if found else None
