"""The recorded nodes as an Ansible inventory: the JSON of its dynamic inventory scripts. Pure."""

import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from pragmaspec.access.routes import Route
from pragmaspec.recorded import Node, State

_RESERVED = frozenset({"all", "ungrouped", "frontends", "computes"})


def inventory(state: State, routes: Sequence[Route], ssh_config: str) -> dict[str, Any]:
    """What ``--list`` prints: groups and, under ``_meta``, the variables of every host that can be reached.

    Groups: ``frontends`` and ``computes`` of all clusters; for each cluster its own, and with ``_frontend`` and ``_computes``
    behind it one for each role. Characters that Ansible does not take in a group name become underscores. ``ssh_config`` is the
    path of the client configuration that the connections shall use.
    """
    nodes = {node.address: node for node in state.nodes()}
    groups: dict[str, dict[str, list[str]]] = {"frontends": {"hosts": []}, "computes": {"hosts": []}}
    hostvars: dict[str, dict[str, Any]] = {}
    for route in routes:
        node = nodes[route.node]
        cluster = group_name(node.cluster)
        role = f"{cluster}_frontend" if node.role == "frontend" else f"{cluster}_computes"
        groups.setdefault(cluster, {"children": [f"{cluster}_frontend", f"{cluster}_computes"]})
        for name in (f"{cluster}_frontend", f"{cluster}_computes"):
            groups.setdefault(name, {"hosts": []})
        groups[role]["hosts"].append(route.name)
        groups["frontends" if node.role == "frontend" else "computes"]["hosts"].append(route.name)
        hostvars[route.name] = _variables(node, route, ssh_config)
    return {"_meta": {"hostvars": hostvars}, **groups}


def inventory_text(inventory: Mapping[str, Any]) -> str:
    """``--list``: the whole inventory as JSON."""
    return json.dumps(inventory, indent=2, sort_keys=True) + "\n"


def host_text(inventory: Mapping[str, Any], host: str) -> str:
    """``--host HOST``: the variables of one host as JSON; an empty object for one that is not there."""
    return json.dumps(inventory["_meta"]["hostvars"].get(host, {}), indent=2, sort_keys=True) + "\n"


def group_name(cluster: str) -> str:
    """The group of ``cluster``: letters, digits and underscores, and none of the names that mean something else."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in cluster)
    return f"{name}_cluster" if name in _RESERVED else name


def _variables(node: Node, route: Route, ssh_config: str) -> dict[str, Any]:
    private, public = node.nic("private"), node.nic("public")
    return {
        "ansible_host": route.name,
        "ansible_user": route.user,
        "ansible_ssh_common_args": f"-F {quote(ssh_config)}",
        "pragmaspec_address": node.address,
        "pragmaspec_cluster": node.cluster,
        "pragmaspec_site": node.site,
        "pragmaspec_role": node.role,
        "pragmaspec_index": node.index,
        "pragmaspec_cpus": node.cpus,
        "pragmaspec_memory_mib": node.memory_mib,
        "pragmaspec_private_address": private.address if private else None,
        "pragmaspec_public_address": public.address if public else None,
    }
