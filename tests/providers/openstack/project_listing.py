"""The objects of a project, as the services themselves list them."""

from typing import Any

from tests.labs.openstack.lab import OpenStackLab
from tests.labs.openstack.servers import account, wait_for

_OWNED_BY_NEUTRON = ("network:dhcp", "network:router_gateway", "network:floatingip", "network:distributed")
_RULE = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")


class ProjectListing:
    """Everything in the project of ``user`` that was not there before, one line per object."""

    def __init__(self, lab: OpenStackLab, user: str = "other") -> None:
        self._user = account(lab, user)
        self._before = set(self._objects())

    def lines(self) -> list[str]:
        """Return the new objects, sorted."""
        return sorted(line for key, (line, _) in self._objects().items() if key not in self._before)

    def ids(self, lineage: str) -> set[str]:
        """Return the ids of the objects of the stack ``lineage``."""
        return {key for key, (_, marks) in self._objects().items() if lineage in marks}

    def add_server(self, **fields: object) -> str:
        """Create a server without network, and return its id."""
        (flavor,) = (each["id"] for each in self._get("compute", "/flavors") if each["name"] == "tiny")
        (image,) = (each["id"] for each in self._get("image", "/v2/images", "&name=tiny"))
        place = {"flavorRef": flavor, "imageRef": image, "networks": "none", "availability_zone": "fake"}
        body = {"server": {**place, **fields}}
        return str(self._user.post("compute", "/servers", body)["server"]["id"])

    def detach(self, address: str) -> None:
        """Take the port with this address from its server."""
        ports = self._get("network", "/v2.0/ports")
        (port,) = (each for each in ports if [fixed["ip_address"] for fixed in each["fixed_ips"]] == [address])
        self._user.delete("compute", f"/servers/{port['device_id']}/os-interface/{port['id']}")
        wait_for(lambda: self._port(port["id"])["device_id"] == "", "the port is detached")

    def volumes(self) -> set[str]:
        """Return the ids of all volumes."""
        return {each["id"] for each in self._get("volumev3", "/volumes/detail")}

    def delete_server(self, name: str) -> None:
        """Delete the server with this name."""
        self._user.delete("compute", f"/servers/{self._server(name)['id']}")
        wait_for(lambda: all(each["name"] != name for each in self._get("compute", "/servers/detail")), "the server is deleted")

    def _server(self, name: str) -> dict[str, Any]:
        (found,) = (each for each in self._get("compute", "/servers/detail") if each["name"] == name)
        return found

    def detach_volumes(self, server: str) -> None:
        """Take all volumes from the server with this name."""
        found = self._server(server)
        held = [each["id"] for each in found["os-extended-volumes:volumes_attached"]]
        for volume in held:
            self._user.delete("compute", f"/servers/{found['id']}/os-volume_attachments/{volume}")
        for volume in held:
            wait_for(lambda each=volume: self._status(each) == "available", "the volume is detached")

    def _status(self, volume: str) -> str:
        return str(self._user.get("volumev3", f"/volumes/{volume}")["volume"]["status"])

    def _port(self, port: str) -> dict[str, Any]:
        return dict(self._user.get("network", f"/v2.0/ports/{port}")["port"])

    def _objects(self) -> dict[str, tuple[str, str]]:
        """By id: each object's line, and the text in which its marks are."""
        servers, ports = self._get("compute", "/servers/detail"), self._get("network", "/v2.0/ports")
        names = {each["id"]: f"server {each['name']}" for each in servers}
        address = {each["id"]: each["fixed_ips"][0]["ip_address"] for each in ports if each["fixed_ips"]}
        found = {each["id"]: (_server_line(each), str(each["tags"])) for each in servers}
        for each in ports:
            if not each["device_owner"].startswith(_OWNED_BY_NEUTRON):
                holder = names.get(each["device_id"], each["device_owner"] or "nothing")
                found[each["id"]] = (f"port {address.get(each['id'], '-')} of {holder}", each["description"])
        for each in self._get("network", "/v2.0/floatingips"):
            found[each["id"]] = (f"floating address of {address.get(each['port_id'], 'nothing')}", each["description"])
        for each in self._get("network", "/v2.0/security-groups"):
            # Neutron accepts a rule twice at the same moment, which means the same as once.
            rules = len({tuple(rule[name] for name in _RULE) for rule in each["security_group_rules"]})
            found[each["id"]] = (f"group {each['name']} with {rules} rules", each["description"])
        for kind in ("network", "subnet", "router"):
            for each in self._get("network", f"/v2.0/{kind}s"):
                found[each["id"]] = (f"{kind} {each['name']}", each["description"])
        for each in self._get("volumev3", "/volumes/detail"):
            holder = ", ".join(names[held["server_id"]].removeprefix("server ") for held in each["attachments"]) or "nothing"
            line = f"volume {each['name']} of {each['size']} GiB at {holder}"
            found[each["id"]] = (line, each["metadata"].get("pragmaspec-lineage", ""))
        for each in self._get("image", "/v2/images", "&visibility=private"):
            found[each["id"]] = (f"image {each['name']} {each['status']}", str(each["tags"]))
        return found

    def _get(self, service: str, path: str, query: str = "") -> list[dict[str, Any]]:
        key = path.removesuffix("/detail").rpartition("/")[2].replace("-", "_")
        return list(self._user.get(service, f"{path}?limit=1000{query}")[key])


def _server_line(server: dict[str, Any]) -> str:
    return f"server {server['name']} {server['status']} {server['flavor']['original_name']}"
