"""The files of a node: the guest contract, ssh access, and the node's identity."""

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.cluster_json import cluster_json_text
from pragmaspec.guest.contract.members import hosts_text, members
from pragmaspec.guest.contract.shared_texts import shared_texts
from pragmaspec.guest.contract.vc_out import vc_out_text
from pragmaspec.guest.guest_file import ALL_READ, ROOT_ONLY, GuestFile
from pragmaspec.guest.interfaces import interfaces_text
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.setup.node_setups import live_setup_files
from pragmaspec.resources import Node

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


def contract_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files that describe ``node`` and its cluster. They contain no secrets."""
    shared = shared_texts(cluster, stack_key)
    return (
        GuestFile(path=CONTRACT_JSON, mode=ALL_READ, content=cluster_json_text(node, cluster, shared.contract)),
        GuestFile(path=MACHINEFILE, mode=ALL_READ, content=shared.machinefile),
        GuestFile(path=HOSTS, mode=ALL_READ, content=shared.hosts),
        GuestFile(path=KNOWN_HOSTS, mode=ALL_READ, content=shared.known_hosts),
        GuestFile(path=VC_OUT, mode=ROOT_ONLY, content=vc_out_text(node, cluster, shared.authorized_keys)),
    )


def short_hosts_file(node: Node, cluster: GuestCluster) -> GuestFile:
    """Return the hosts file of ``node`` with itself and the frontend only, until the whole one arrives."""
    few = replace(cluster, nodes=(cluster.frontend,) if node is cluster.frontend else (cluster.frontend, node))
    return GuestFile(path=HOSTS, mode=ALL_READ, content=hosts_text(members(few)))


def login_files(cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files for ssh logins as root, between nodes and from outside. Contain the cluster's private key."""
    pair = shared_texts(cluster, stack_key).cluster_key
    return (
        GuestFile(path=CLUSTER_KEY, mode=ROOT_ONLY, content=pair.private),
        GuestFile(path=f"{CLUSTER_KEY}.pub", mode=ALL_READ, content=f"{pair.public} pragmaspec-cluster\n"),
        _authorized(cluster, stack_key),
    )


def identity_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return host key, host name and interfaces of ``node``, for images without cloud-init. Contain a private key."""
    pair = host_key(stack_key, cluster.mark(node.address))
    return (
        _hostname(node),
        GuestFile(path=INTERFACES, mode=ALL_READ, content=interfaces_text(node)),
        GuestFile(path=HOST_KEY, mode=ROOT_ONLY, content=pair.private),
        GuestFile(path=f"{HOST_KEY}.pub", mode=ALL_READ, content=f"{pair.public} {node.name}\n"),
    )


def live_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files of a running node to update when its cluster or its disks change. They contain no private keys."""
    return (
        _hostname(node),
        *contract_files(node, cluster, stack_key),
        _authorized(cluster, stack_key),
        *live_setup_files(node, cluster),
    )


def _hostname(node: Node) -> GuestFile:
    return GuestFile(path=HOSTNAME, mode=ALL_READ, content=f"{node.name}\n")


def _authorized(cluster: GuestCluster, stack_key: StackKey) -> GuestFile:
    return GuestFile(path=AUTHORIZED_KEYS, mode=ROOT_ONLY, content=shared_texts(cluster, stack_key).authorized_keys)
