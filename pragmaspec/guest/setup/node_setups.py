"""The setup scripts of a node, in the order in which they run."""

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.setup.disks import DISKS, disks_setup, disks_table_file
from pragmaspec.guest.setup.nat import nat_setup
from pragmaspec.guest.setup.route import route_setup
from pragmaspec.guest.setup.scripts import NodeSetup
from pragmaspec.guest.setup.users import USERS, users_setup, users_table_file
from pragmaspec.resources import Node

LIVE_SCRIPTS = (DISKS, USERS)
"""The setup scripts that every live update brings and runs, in this order."""
LIVE_PATHS = " ".join(script.path for script in LIVE_SCRIPTS)
"""Their paths, as words of a shell script."""


def node_setups(node: Node, cluster: GuestCluster) -> tuple[NodeSetup, ...]:
    """Return the setup scripts that ``node`` needs: of its further disks, its users, as a gateway, and of its route to one."""
    found = (disks_setup(node), users_setup(cluster.users), nat_setup(node, cluster), route_setup(node, cluster))
    return tuple(setup for setup in found if setup is not None)


def live_setup_files(node: Node, cluster: GuestCluster) -> tuple[GuestFile, ...]:
    """Return the files of setup scripts that change while ``node`` runs.

    Of a script that it does not need, or no longer, this is the table alone, which is empty.
    """
    disks, users = disks_setup(node), users_setup(cluster.users)
    return (
        *(disks.files if disks else (disks_table_file(node),)),
        *(users.files if users else (users_table_file(cluster.users),)),
    )
