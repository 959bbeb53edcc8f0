"""Names of objects at a libvirt site, and the facts that can be read from them. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pragmaspec.resources import Mark, StagedImage

PREFIX = "pragmaspec"

_NODE = re.compile(r"(?P<node>[^.]+)\.(?P<short>[0-9a-f]{8})")
_DISK = re.compile(_NODE.pattern + r"(?:\.g(?P<generation>[1-9][0-9]*))?\.qcow2")
_NODE_VOLUME = re.compile(
    _NODE.pattern
    + r"(?:\.g(?P<generation>[1-9][0-9]*))?"
    + r"(?:\.qcow2|-disk-(?P<disk>[a-z0-9-]+)\.qcow2|-seed\.iso|-nvram\.fd|-filling|-console\.log(?:\.[0-9]+)?)"
)
_KEPT = re.compile(r"(?P<name>[^.]+)\.(?P<lineage>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-volume\.(?P<layer>.+)")
_LAYER = re.compile(_NODE.pattern + r"(?:\.g(?P<generation>[1-9][0-9]*))?\..+")
_GROUP_SIGN = "+"
_ROLE = re.compile(r"(?P<cluster>.+)-(?P<which>frontend|compute-[0-9]+)")
_COMPLETE = re.compile(PREFIX + r"-(?P<digest>[0-9a-f]{64})\.complete")
_REFERENCE = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})\.(?P<short>[0-9a-f]{8})\.ref")
_IMAGE_FILE = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})-(?:disk\.(?:qcow2|raw)|kernel|initrd)(?:\.[0-9a-f]{8}\.part)?")
_MARKER = re.compile(PREFIX + r"-(?P<digest16>[0-9a-f]{16})(?:[0-9a-f]{48}\.complete|\.[0-9a-f]{8}\.(?:ref|staging))")
_VLAN = re.compile(PREFIX + r"-vlan-(?P<vlan>[0-9]+)")
_ADDRESS = re.compile(PREFIX + r"-address-(?P<address>[0-9.]+)")


class NodeName(NamedTuple):
    """The parts of a domain's name: node, first 8 digits of the lineage, and the node's cluster."""

    node: str
    short: str
    cluster: str


NO_NODE = NodeName("", "", "")


class NodeVolume(NamedTuple):
    """The parts of a node volume's name: as in :class:`NodeName`, and the node's generation."""

    node: str
    short: str
    generation: int
    cluster: str


def domain_name(node: str, mark: Mark) -> str:
    """``<node>.<lineage8>``, with the node's name at its creation.

    ``mark`` is that of the node, or of its cluster's allocation. A plus sign separates cluster and group (``hello+gpu-0``): both
    may contain hyphens, and some objects have no other mark of their cluster.
    """
    name = original_node_name(node, mark)
    _, _, inside = mark.address.partition("/")
    cluster, _, kind = inside.partition("/")
    if kind.startswith("node/") and name.startswith(f"{cluster}-") and cluster_of(name) != cluster:
        name = f"{cluster}{_GROUP_SIGN}{name.removeprefix(f'{cluster}-')}"
    return f"{name}.{mark.short}"


def original_node_name(node: str, mark: Mark) -> str:
    """The name of ``node`` when the object with ``mark`` was created: clusters can be renamed."""
    _, _, inside = mark.address.partition("/")
    cluster, _, kind = inside.partition("/")
    if kind.startswith("node/"):
        return kind.removeprefix("node/")
    found = _ROLE.fullmatch(node)
    return f"{cluster}-{found['which']}" if found and kind else node


def parse_domain(name: str) -> NodeName | None:
    """The parts of ``name`` if it has the form of :func:`domain_name`."""
    found = _NODE.fullmatch(name)
    if found is None:
        return None
    node, cluster = _node_and_cluster(found["node"])
    return NodeName(node, found["short"], cluster)


def original_cluster_name(cluster: str, mark: Mark) -> str:
    """The name of ``cluster`` when the allocation or node with ``mark`` was created."""
    parts = mark.address.split("/")
    return parts[1] if len(parts) > 1 else cluster


def _node_base(node: str, mark: Mark) -> str:
    """The common part of a node's volume names, different per generation so that an old disk is never taken for a new one."""
    return domain_name(node, mark) + (f".g{mark.generation}" if mark.generation else "")


def disk_volume(node: str, mark: Mark) -> str:
    """The node's disk, an overlay on its image."""
    return f"{_node_base(node, mark)}.qcow2"


def extra_disk_volume(node: str, disk: str, mark: Mark) -> str:
    """A further disk of the node that is removed with it."""
    return f"{_node_base(node, mark)}-disk-{disk}.qcow2"


def parse_extra_disk(name: str) -> tuple[NodeVolume, str] | None:
    """The parts of ``name`` and the name of the disk, if it is a further disk of a node."""
    found = _NODE_VOLUME.fullmatch(name)
    parts = _node_volume(found)
    return (parts, found["disk"]) if found is not None and parts is not None and found["disk"] else None


def kept_volume(mark: Mark) -> str:
    """The file of a volume that outlives its node. It contains the whole lineage, by which it is found without a record."""
    return f"{_kept_base(mark)}.qcow2"


def _kept_base(mark: Mark) -> str:
    return f"{mark.address.rpartition('/')[2]}.{mark.lineage}-volume"


def parse_kept(name: str) -> tuple[str, str] | None:
    """Name and lineage of the volume, if ``name`` is the file of one that outlives its node."""
    found = _KEPT.fullmatch(name)
    return (found["name"], found["lineage"]) if found is not None and found["layer"] == "qcow2" else None


def is_kept(name: str) -> bool:
    """True if the file is a volume that outlives its node, or a snapshot of one."""
    return _KEPT.fullmatch(name) is not None


def kept_layers(names: Iterable[str], mark: Mark) -> list[str]:
    """The files of snapshots of a volume that outlives its node."""
    base = _kept_base(mark)
    return sorted(name for name in names if name.startswith(f"{base}.") and name != f"{base}.qcow2")


def volume_address(site: str, name: str) -> str:
    """The address of the volume ``name``."""
    return f"{site}/volume/{name}"


def seed_volume(node: str, mark: Mark) -> str:
    """The node's NoCloud seed."""
    return f"{_node_base(node, mark)}-seed.iso"


def nvram_volume(node: str, mark: Mark) -> str:
    """The variables of the node's UEFI firmware. libvirt creates the file."""
    return f"{_node_base(node, mark)}-nvram.fd"


def filling_marker(node: str, mark: Mark) -> str:
    """The marker that exists while initial files are written to the node's disk."""
    return f"{_node_base(node, mark)}-filling"


def console_volume(node: str, mark: Mark) -> str:
    """The log of the node's serial console."""
    return f"{_node_base(node, mark)}-console.log"


def parse_disk(name: str) -> NodeVolume | None:
    """The parts of ``name`` if it is a node's disk."""
    return _node_volume(_DISK.fullmatch(name))


def parse_node_volume(name: str) -> NodeVolume | None:
    """The parts of ``name`` if it is any volume of a node, rotated console logs included."""
    return _node_volume(_NODE_VOLUME.fullmatch(name))


def parse_layer(name: str) -> NodeVolume | None:
    """The parts of ``name`` if it is a snapshot's file: a disk's name with ``qcow2`` replaced by the snapshot's name."""
    return None if parse_node_volume(name) else _node_volume(_LAYER.fullmatch(name))


def _node_volume(found: re.Match[str] | None) -> NodeVolume | None:
    if found is None:
        return None
    node, cluster = _node_and_cluster(found["node"])
    return NodeVolume(node, found["short"], int(found["generation"] or 0), cluster)


def _node_and_cluster(written: str) -> tuple[str, str]:
    """The node's name and its cluster, from the first part of an object's name."""
    cluster, sign, rest = written.partition(_GROUP_SIGN)
    return (f"{cluster}-{rest}", cluster) if sign else (written, cluster_of(written))


def cluster_of(node: str) -> str:
    """The cluster of a node that is in no group, read from its name: ``<cluster>-frontend``, ``<cluster>-compute-<i>``."""
    found = _ROLE.fullmatch(node)
    return found["cluster"] if found else node


def node_address(site: str, found: NodeName | NodeVolume) -> str:
    """The address of the node of an object that outlived its domain and so lost its mark."""
    return f"{site}/{found.cluster}/node/{found.node}"


def allocation_address(site: str, found: NodeName) -> str:
    """The address of the allocation of a node's cluster."""
    return f"{site}/{found.cluster}/allocation"


def _image_base(digest: str) -> str:
    return f"{PREFIX}-{digest[:16]}"


def image_volumes(image: StagedImage) -> dict[str, str]:
    """The volume name of each part of an image: disk, kernel, initrd."""
    base = _image_base(image.digest)
    parts = {"disk": f"{base}-disk.{image.format}"}
    if image.kernel:
        parts["kernel"] = f"{base}-kernel"
    if image.initrd:
        parts["initrd"] = f"{base}-initrd"
    return parts


def partial_volume(part: str, mark: Mark) -> str:
    """The volume that a part of an image is downloaded to before its digest is verified."""
    return f"{part}.{mark.short}.part"


def image_files(volumes: Iterable[str], digest: str) -> set[str]:
    """All volumes with bytes of the image, complete or partial, in any format."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}-") and _IMAGE_FILE.fullmatch(name)}


def image_parts(volumes: Iterable[str], digest: str) -> dict[str, str]:
    """The complete volume of each part of the image: disk, kernel, initrd."""
    base = f"{_image_base(digest)}-"
    names = (name for name in image_files(volumes, digest) if not name.endswith(".part"))
    return {name.removeprefix(base).partition(".")[0]: name for name in names}


def image_markers(volumes: Iterable[str], digest: str) -> set[str]:
    """All markers of the image, of every stack."""
    return {name for name in volumes if (found := _MARKER.fullmatch(name)) and found["digest16"] == digest[:16]}


def image_digests(volumes: Iterable[str]) -> tuple[str, ...]:
    """The digests of all images with any volume, sorted; of incomplete images only the first 16 digits."""
    found = {match["digest16"] for name in volumes if (match := _IMAGE_FILE.fullmatch(name) or _MARKER.fullmatch(name))}
    whole = {digest[:16]: digest for digest in complete_images(set(volumes))}
    return tuple(sorted(whole.get(digest16, digest16) for digest16 in found))


def image_users(volumes: Iterable[str], digest: str) -> tuple[str, ...]:
    """The first 8 digits of the lineages of the stacks that use the image, sorted."""
    found = (_REFERENCE.fullmatch(name) for name in volumes)
    return tuple(sorted(match["short"] for match in found if match and match["digest16"] == digest[:16]))


def complete_marker(digest: str) -> str:
    """The marker of a complete image. Contains the full digest, so that a listing shows the images of the pool."""
    return f"{PREFIX}-{digest}.complete"


def parse_complete(name: str) -> str | None:
    """The digest, if ``name`` is a completion marker."""
    found = _COMPLETE.fullmatch(name)
    return found["digest"] if found else None


def reference_marker(digest: str, mark: Mark) -> str:
    """The marker that exists while the stack uses the image."""
    return f"{_image_base(digest)}.{mark.short}.ref"


def staging_marker(digest: str, mark: Mark) -> str:
    """The marker that exists while the stack stages or removes the image."""
    return f"{_image_base(digest)}.{mark.short}.staging"


def reference_markers(volumes: set[str], digest: str) -> set[str]:
    """The reference markers of all stacks that use the image."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}.") and name.endswith(".ref")}


def staging_markers(volumes: set[str], digest: str) -> set[str]:
    """The staging markers of all stacks that stage or remove the image."""
    return {name for name in volumes if name.startswith(f"{_image_base(digest)}.") and name.endswith(".staging")}


def images_of(volumes: set[str], lineage: str) -> tuple[str, ...]:
    """The digests of all images that the stack uses, sorted; of incomplete images only the first 16 digits."""
    return tuple(digest for digest in image_digests(volumes) if lineage[:8] in image_users(volumes, digest))


def complete_images_of(volumes: set[str], lineage: str) -> tuple[str, ...]:
    """The digests of the complete images that the stack uses, sorted."""
    found = (_REFERENCE.fullmatch(name) for name in volumes)
    short = {match["digest16"] for match in found if match and match["short"] == lineage[:8]}
    return tuple(digest for digest in complete_images(volumes) if digest[:16] in short)


def complete_images(volumes: set[str]) -> tuple[str, ...]:
    """The digests of all complete images, sorted."""
    return tuple(sorted(digest for name in volumes if (digest := parse_complete(name))))


def is_marker(name: str) -> bool:
    """True if the volume is an empty marker of an image."""
    return name.startswith(f"{PREFIX}-") and name.endswith((".complete", ".ref", ".staging"))


def is_image_part(name: str) -> bool:
    """True if the volume is a complete or partial part of a staged image."""
    return _IMAGE_FILE.fullmatch(name) is not None


def is_kernel(name: str) -> bool:
    """True if the volume is the kernel of a staged image."""
    return name.startswith(f"{PREFIX}-") and name.endswith("-kernel")


def vlan_network(vlan: int) -> str:
    """The network of a VLAN; its name is the claim of the number."""
    return f"{PREFIX}-vlan-{vlan}"


def parse_vlan(name: str) -> int | None:
    """The VLAN number, if ``name`` claims one."""
    found = _VLAN.fullmatch(name)
    return int(found["vlan"]) if found else None


def unnumbered_network(cluster: str, network: str, mark: Mark) -> str:
    """A network without a VLAN: ``<cluster>.<lineage8>``, an extra one ``<cluster>-<network>.<lineage8>``.

    ``mark`` is that of the allocation or of one of its nodes; the cluster's name is the one at its creation.
    """
    cluster = original_cluster_name(cluster, mark)
    return f"{cluster}.{mark.short}" if network == "private" else f"{cluster}-{network}.{mark.short}"


def address_network(address: str) -> str:
    """The network, never started, whose name claims a public address outside the networks with a DHCP server."""
    return f"{PREFIX}-address-{address}"


def parse_address(name: str) -> str | None:
    """The address, if ``name`` claims one."""
    found = _ADDRESS.fullmatch(name)
    return found["address"] if found else None
