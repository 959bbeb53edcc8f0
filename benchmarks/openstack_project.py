"""A project of its own at the OpenStack lab, with a user and without quotas of servers, and the removal of all that is in it."""

import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import SDKException
from scratch import NAME

from tests.labs.openstack import lab

_DEFAULT_GROUP = "default"
"""A security group of every project, which Neutron makes again when it lists them."""
_LIMIT_S = 300
_PAUSE_S = 0.5
_CLOUDS = """\
clouds:
  {cloud}:
    region_name: {region}
    auth:
      auth_url: {auth_url}
      username: {name}
      password: {password}
      project_name: {name}
      user_domain_name: Default
      project_domain_name: Default
"""


class LabProject:
    """The project, at the lab that ``PRAGMASPEC_OPENSTACK_LAB`` names, else at that of the tests, which is started for it."""

    def __init__(self) -> None:
        self.lab: lab.OpenStackLab
        self._admin: Any = None
        self._stack = ExitStack()
        self._password = secrets.token_hex()
        self._id = ""

    def open(self) -> None:
        """Start the lab unless it is up, remove the project of a killed benchmark, and create it anew."""
        running = os.environ.get("PRAGMASPEC_OPENSTACK_LAB")
        if running:
            self.lab = lab.access(Path(running))
        else:
            directory = lab.default_directory()
            # Also after a start that was interrupted.
            self._stack.callback(lab.run_lab, directory, "down", "unused", limit_s=lab.STOP_LIMIT_S)
            self.lab = self._stack.enter_context(lab.started(directory))
        config = OpenStackConfig(config_files=[str(self.lab.clouds_file)], load_envvars=False)
        self._admin = Connection(config=config.get_one("lab-admin"))
        self._remove_project()
        identity = self._admin.identity
        project = identity.create_project(name=NAME, domain_id="default")
        user = identity.create_user(name=NAME, password=self._password, domain_id="default", default_project_id=project.id)
        identity.assign_project_role_to_user(project, user, identity.find_role("member"))
        self._admin.compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
        self._id = project.id

    def close(self) -> None:
        """Remove the project, and stop the lab if it was started for this benchmark."""
        with self._stack:
            if self._admin is not None:
                self._remove_project()

    def write_clouds(self, file: Path, auth_url: str) -> None:
        """Write a ``clouds.yaml`` with the project as the cloud ``NAME``."""
        text = _CLOUDS.format(cloud=NAME, name=NAME, region=self.lab.region, auth_url=auth_url, password=self._password)
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")

    def addresses(self, services: Iterable[str]) -> dict[str, str]:
        """Return the URLs of services by their types."""
        return {each: str(self._admin.session.get_endpoint(service_type=each, interface="public")) for each in services}

    def servers(self, prefix: str) -> list[Any]:
        """Return the servers whose names begin with ``prefix``, with their user-data, which only operators see."""
        return [each for each in self._all_servers(self._id) if each.name.startswith(prefix)]

    def remove_objects(self, prefix: str) -> None:
        """Remove the servers, ports, networks and security groups whose names begin with ``prefix``."""
        _remove(self._admin, self._id, lambda each: (each.name or "").startswith(prefix))

    def _all_servers(self, project: str) -> list[Any]:
        return list(self._admin.compute.servers(all_projects=True, project_id=project))

    def _remove_project(self) -> None:
        identity = self._admin.identity
        for project in identity.projects(name=NAME):
            _remove(self._admin, project.id, lambda each: each.name != _DEFAULT_GROUP)
            for group in self._admin.network.security_groups(project_id=project.id):
                self._admin.network.delete_security_group(group)
            self._admin.compute.revert_quota_set(project)
            identity.delete_project(project)
        for user in identity.users(name=NAME):
            identity.delete_user(user)


def _remove(admin: Any, project: str, chosen: Callable[[Any], bool]) -> None:
    """Remove the ``chosen`` objects of a project. Repeats the listings, because an interrupted call may take effect later."""
    compute, network = admin.compute, admin.network
    end = time.monotonic() + _LIMIT_S
    while True:
        left: list[Any] = [each for each in compute.servers(all_projects=True, project_id=project) if chosen(each)]
        for each in left:
            if each.task_state != "deleting":
                _try(partial(compute.delete_server, each))
        if not left:
            left = _remove_networks(network, project, chosen)
            for image in filter(chosen, admin.image.images(owner=project, visibility="private")):
                left.append(image)
                _try(partial(admin.image.delete_image, image))
        if not left:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not removed from project {project}: {left}")
        time.sleep(_PAUSE_S)


def _remove_networks(network: Any, project: str, chosen: Callable[[Any], bool]) -> list[Any]:
    """Ask for the removal of Neutron's objects, and return those that were there."""
    left = []
    for port in network.ports(project_id=project):
        if chosen(port) and not port.device_owner.startswith("network:"):
            left.append(port)
            _try(partial(network.delete_port, port))
    for router in filter(chosen, network.routers(project_id=project)):
        left.append(router)
        for port in network.ports(device_id=router.id, device_owner="network:router_interface"):
            _try(partial(network.remove_interface_from_router, router, port_id=port.id))
        _try(partial(network.delete_router, router))
    for remove, listed in (
        (network.delete_network, network.networks(project_id=project)),
        (network.delete_security_group, network.security_groups(project_id=project)),
    ):
        for each in filter(chosen, listed):
            left.append(each)
            _try(partial(remove, each))
    return left


def _try(remove: Callable[[], object]) -> None:
    """Remove something, or let the next listing decide."""
    with suppress(SDKException):
        remove()
