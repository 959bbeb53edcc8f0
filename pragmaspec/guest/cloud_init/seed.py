"""The NoCloud seed: a small read-only disk with a node's identity and configuration, read at the first boot."""

from pragmaspec.guest.cloud_init.documents import meta_data_text, network_config_text, user_data_text
from pragmaspec.guest.cloud_init.iso9660 import iso_image
from pragmaspec.guest.contract.archive import guest_tar
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import contract_files, identity_files, login_files
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.setup.node_setups import node_setups
from pragmaspec.resources import Mark, Node

LABEL = "cidata"


def seed_iso(node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey, mark: Mark) -> bytes:
    """Return the seed of ``node`` as an ISO 9660 image labelled ``cidata``. Reproducible. Contains private keys.

    ``user-data``, ``meta-data`` and ``network-config`` are for cloud-init; ``guest.tar`` contains the same files for images
    without cloud-init. Raises SpecError if a value cannot be represented in ``vc-out.xml``.
    """
    return iso_image(
        LABEL,
        {
            "meta-data": meta_data_text(node, mark).encode(),
            "network-config": network_config_text(node, cluster).encode(),
            "user-data": user_data_text(node, cluster, settings, stack_key).encode(),
            "guest.tar": guest_tar(seed_files(node, cluster, stack_key)),
        },
    )


def seed_files(node: Node, cluster: GuestCluster, stack_key: StackKey) -> tuple[GuestFile, ...]:
    """Return the files of ``node`` that do not depend on its operating system. Contain private keys."""
    return (
        *identity_files(node, cluster, stack_key),
        *login_files(cluster, stack_key),
        *contract_files(node, cluster, stack_key),
        *(file for setup in node_setups(node, cluster) for file in setup.files),
    )
