"""User-data of a limited size, for sites whose machines have no seed: what does not fit follows over ssh.

Files are left out in the order of :func:`stages` until the rest fits. The rest always has what a node needs to be reached, and
what no live update brings: its host key, the authorized keys, its name, the cluster's key, the gateway's rules, packages, and the
user's own user-data. Everything left out is among :func:`~pragmaspec.guest.contract.files.live_files`.

The site itself configures the network, so there is neither ``network-config`` nor ``meta-data``.
"""

from collections.abc import Iterator
from gzip import compress

from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.documents import user_data_text
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import CONTRACT_JSON, HOSTS, KNOWN_HOSTS, MACHINEFILE, VC_OUT
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.setup.node_setups import LIVE_SCRIPTS, node_setups
from pragmaspec.resources import Node
from pragmaspec.typing import override

CLUSTER_STAGES = ((KNOWN_HOSTS,), (CONTRACT_JSON,), (VC_OUT,), (MACHINEFILE,), (HOSTS,))
"""The files of the contract to leave out, in this order: those that grow fastest with the cluster first."""

_WITH_HOST_KEYS = (KNOWN_HOSTS, CONTRACT_JSON)
_HOST_KEY_BYTES = 32
"""Size of a public key, which no compression makes smaller."""


class LimitedUserData(Frozen, frozen=True):
    """The user-data of one node: a cloud-config, compressed with gzip if it is too large otherwise. Contains private keys."""

    content: bytes
    left_out: tuple[str, ...] = ()
    """Paths of the files that have to follow over ssh."""

    @override
    def __repr__(self) -> str:
        return f"LimitedUserData({len(self.content)} bytes, left_out={self.left_out!r})"

    @override
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("bytes", len(self.content)), ("left_out", self.left_out)]


def limited_user_data(
    node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey, limit: int
) -> LimitedUserData:
    """Return the user-data of ``node`` with as much as fits into ``limit`` bytes. Reproducible.

    If not even the essential part fits, it is returned, and is larger than ``limit``. Raises SpecError if a value cannot be
    represented in ``vc-out.xml``.
    """
    for left_out in _choices(node, cluster, limit):
        content = encoded(user_data_text(node, cluster, settings, stack_key, frozenset(left_out)), limit)
        if len(content) <= limit:
            return LimitedUserData(content=content, left_out=left_out)
    return essential_user_data(node, cluster, settings, stack_key, limit)


def essential_user_data(
    node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey, limit: int
) -> LimitedUserData:
    """Return the smallest user-data of ``node``. Its size does not depend on the number of nodes."""
    left_out = tuple(path for stage in stages(node, cluster) for path in stage)
    text = user_data_text(node, cluster, settings, stack_key, frozenset(left_out))
    return LimitedUserData(content=encoded(text, limit), left_out=left_out)


def encoded(text: str, limit: int) -> bytes:
    """Return ``text`` as UTF-8, readable if it fits into ``limit`` bytes, else compressed."""
    plain = text.encode()
    return plain if len(plain) <= limit else compress(plain, compresslevel=9, mtime=0)


def stages(node: Node, cluster: GuestCluster) -> tuple[tuple[str, ...], ...]:
    """Return the files of ``node`` to leave out, in this order: at last the scripts for users and further disks."""
    live = [setup for setup in reversed(node_setups(node, cluster)) if setup.script in LIVE_SCRIPTS]
    return (*CLUSTER_STAGES, *(tuple(file.path for file in setup.files) for setup in live))


def _choices(node: Node, cluster: GuestCluster, limit: int) -> Iterator[tuple[str, ...]]:
    """Yield the files to leave out, fewest first, without choices that certainly do not fit."""
    left_out: tuple[str, ...] = ()
    for stage in ((), *stages(node, cluster)):
        left_out = (*left_out, *stage)
        remaining = sum(path not in left_out for path in _WITH_HOST_KEYS)
        if remaining * _HOST_KEY_BYTES * len(cluster.nodes) <= limit:
            yield left_out
