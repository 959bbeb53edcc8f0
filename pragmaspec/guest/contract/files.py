"""The files of a node: the guest contract, ssh access, and the node's identity."""

from pragmaspec.frozen import Frozen
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.cluster_json import cluster_json_text
from pragmaspec.guest.contract.shared_texts import shared_texts
from pragmaspec.guest.contract.vc_out import vc_out_text
from pragmaspec.guest.interfaces import interfaces_text
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.setup.disks import (
    DISKS_SCRIPT,
    DISKS_SCRIPT_TEXT,
    DISKS_TABLE,
    DISKS_UNIT,
    DISKS_UNIT_TEXT,
    disks_table,
)
from pragmaspec.guest.setup.users import (
    USERS_SCRIPT,
    USERS_SCRIPT_TEXT,
    USERS_TABLE,
    USERS_UNIT,
    USERS_UNIT_TEXT,
    users_table,
)
from pragmaspec.resources import Node
from pragmaspec.typing import override

CONTRACT_JSON = "/etc/pragmaspec/cluster.json"
VC_OUT = "/root/vc-out.xml"
HOSTS = "/etc/hosts"
MACHINEFILE = "/etc/pragmaspec/machinefile"
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
CLUSTER_KEY = "/root/.ssh/id_ed25519"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
HOSTNAME = "/etc/hostname"
INTERFACES = "/etc/pragmaspec/interfaces"

_ALL_READ = 0o644
_ROOT_ONLY = 0o600
_EXECUTABLE = 0o755


class GuestFile(Frozen, frozen=True):
    """A guest file owned by root: absolute ``path``, permission bits, and text (UTF-8)."""

    path: str
    mode: int
    content: str

    @override
    def __repr__(self) -> str:
        return f"GuestFile({self.path!r}, mode={self.mode:#o}, {len(self.content)} characters)"

    @override
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("path", self.path), ("mode", oct(self.mode)), ("characters", len(self.content))]


def contract_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files that describe ``node`` and its cluster. They contain no secrets."""
    shared = shared_texts(cluster, stack_key)
    return (
        GuestFile(path=CONTRACT_JSON, mode=_ALL_READ, content=cluster_json_text(node, cluster, shared.contract)),
        GuestFile(path=MACHINEFILE, mode=_ALL_READ, content=shared.machinefile),
        GuestFile(path=HOSTS, mode=_ALL_READ, content=shared.hosts),
        GuestFile(path=KNOWN_HOSTS, mode=_ALL_READ, content=shared.known_hosts),
        GuestFile(path=VC_OUT, mode=_ROOT_ONLY, content=vc_out_text(node, cluster, shared.authorized_keys)),
    )


def login_files(cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files for ssh logins as root, between nodes and from outside. Contain the cluster's private key."""
    pair = shared_texts(cluster, stack_key).cluster_key
    return (
        GuestFile(path=CLUSTER_KEY, mode=_ROOT_ONLY, content=pair.private),
        GuestFile(path=f"{CLUSTER_KEY}.pub", mode=_ALL_READ, content=f"{pair.public} pragmaspec-cluster\n"),
        _authorized(cluster, stack_key),
    )


def identity_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return host key, host name and interfaces of ``node``, for images without cloud-init. Contain a private key."""
    pair = host_key(stack_key, cluster.mark(node.address))
    return (
        _hostname(node),
        GuestFile(path=INTERFACES, mode=_ALL_READ, content=interfaces_text(node)),
        GuestFile(path=HOST_KEY, mode=_ROOT_ONLY, content=pair.private),
        GuestFile(path=f"{HOST_KEY}.pub", mode=_ALL_READ, content=f"{pair.public} {node.name}\n"),
    )


def live_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files of a running node to update when its cluster or its disks change. They contain no private keys."""
    contract = contract_files(node, cluster, stack_key)
    disks = disk_files(node) or (_disks_table(node),)
    return (
        _hostname(node),
        *contract,
        _authorized(cluster, stack_key),
        *disks,
        *(user_files(cluster) or (_users_table(cluster),)),
    )


def disk_files(node: Node) -> tuple[GuestFile, ...]:
    """Return the script that sets up further disks, and its table; none for a node without further disks."""
    if not node.disks:
        return ()
    return (
        _disks_table(node),
        GuestFile(path=DISKS_SCRIPT, mode=_EXECUTABLE, content=DISKS_SCRIPT_TEXT),
        GuestFile(path=DISKS_UNIT, mode=_ALL_READ, content=DISKS_UNIT_TEXT),
    )


def user_files(cluster: GuestCluster) -> tuple[GuestFile, ...]:
    """Return the script that sets up users, and its table; none for a cluster without users."""
    if not cluster.users:
        return ()
    return (
        _users_table(cluster),
        GuestFile(path=USERS_SCRIPT, mode=_EXECUTABLE, content=USERS_SCRIPT_TEXT),
        GuestFile(path=USERS_UNIT, mode=_ALL_READ, content=USERS_UNIT_TEXT),
    )


def _users_table(cluster: GuestCluster) -> GuestFile:
    """Return the table, which is empty after the last user was removed."""
    return GuestFile(path=USERS_TABLE, mode=_ROOT_ONLY, content=users_table(cluster.users))


def _disks_table(node: Node) -> GuestFile:
    """Return the table, which is empty after the last further disk was removed."""
    return GuestFile(path=DISKS_TABLE, mode=_ALL_READ, content=disks_table(node))


def _hostname(node: Node) -> GuestFile:
    return GuestFile(path=HOSTNAME, mode=_ALL_READ, content=f"{node.name}\n")


def _authorized(cluster: GuestCluster, stack_key: StackKey) -> GuestFile:
    return GuestFile(path=AUTHORIZED_KEYS, mode=_ROOT_ONLY, content=shared_texts(cluster, stack_key).authorized_keys)
