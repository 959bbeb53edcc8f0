"""The objects of clusters in the project of the OpenStack lab, and a user's working directory with access to it."""

import json

import pytest
from openstack.connection import Connection

from tests.e2e.workspace import Workspace
from tests.labs.openstack.lab import OpenStackLab

MARKS = [
    pytest.mark.openstack,
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),  # of openstacksdk about itself
]
"""Of modules with tests that use the project."""
LIMIT_S = 900
"""Of a command on a busy machine, where emulated guests boot in minutes."""


def give_access(workspace: Workspace, lab: OpenStackLab) -> None:
    """Let ``workspace`` use the clouds of ``lab``."""
    workspace.variables["OS_CLIENT_CONFIG_FILE"] = str(lab.clouds_file)


def remains(cloud: Connection, workspace: Workspace) -> list[str]:
    """Return the names of all objects in the project with the marks of the stack of ``workspace``."""
    (state,) = workspace.directory.glob("state/*/state.json")
    lineage = json.loads(state.read_bytes())["lineage"]
    tag, net = f"pragmaspec={lineage}", cloud.network
    tagged = (*cloud.compute.servers(tags=tag), *cloud.image.images(tag=tag))
    found = (*net.networks(), *net.routers(), *net.security_groups(), *net.ports(), *net.ips())
    return [each.name for each in (*tagged, *(each for each in found if lineage in (each.description or "")))]
