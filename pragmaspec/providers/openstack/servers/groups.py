"""Server groups: the computes of a cluster on different hosts, if the site asks for it. Found by name, made at the first boot."""

from threading import Lock

from msgspec.structs import replace

from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import SERVER_GROUPS
from pragmaspec.providers.openstack.marks import node_tag
from pragmaspec.providers.openstack.objects import ServerGroup
from pragmaspec.resources import Mark

_POLICIES = {"soft": "soft-anti-affinity", "strict": "anti-affinity"}


class ServerGroups:
    """The groups of one site. Thread-safe."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = Lock()
        self._found: dict[str, str] = {}

    def hint(self, request: BootRequest) -> str:
        """Return the id of the group that the new server of ``request`` is to be a member of; empty: none."""
        policy = _POLICIES.get(self._cloud.settings.anti_affinity)
        if policy is None or request.node.role != "compute":
            return ""
        name = group_name(request.allocation_mark)
        with self._lock:
            if name not in self._found:
                self._found[name] = self._present(name) or self._new(name, policy)
            return self._found[name]

    def remove(self, mark: Mark) -> None:
        """Remove the group of the allocation of ``mark``. Absent: no error."""
        name = group_name(mark)
        with self._lock:
            self._found.pop(name, None)
            for group in self._cloud.client.list(SERVER_GROUPS):
                if group.name == name:
                    self._cloud.client.remove("compute", f"/os-server-groups/{group.id}")

    def _present(self, name: str) -> str:
        return next((group.id for group in self._cloud.client.list(SERVER_GROUPS) if group.name == name), "")

    def _new(self, name: str, policy: str) -> str:
        body = {"server_group": {"name": name, "policies": [policy]}}
        return self._cloud.client.send("compute", "POST", "/os-server-groups", body, "server_group", ServerGroup).id


def group_name(mark: Mark) -> str:
    """Return the name of the server group of an allocation, which no other stack has."""
    return node_tag(replace(mark, op="")).replace("-node=", "-group=")
