"""The recorded nodes as an Ansible inventory: as a file, and as the output of an inventory script. Pure.

Formats: ``ansible-doc -t inventory yaml`` for the file, ``ansible-doc -t inventory script`` for the script.
"""

import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Literal

from pragmaspec.access.ansible_groups import COMPUTES, FRONTENDS, cluster_at_site_group, cluster_group, node_group, site_group
from pragmaspec.access.routes import Route
from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.yaml import Yaml, yaml_text
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from pragmaspec.text import few

_HEAD = """\
# An Ansible inventory, written by pragmaspec from the recorded state. Generate it again after a change of the stack, and after a
# restart of this machine, which may remove the ssh files that it refers to: pragmaspec inventory > hosts.yaml
"""
_MAX_NAMED = 5
_ROLE_GROUPS = {"frontend": (FRONTENDS,), "compute": (COMPUTES,)}
"""The groups of all clusters, by set of nodes."""

HostVariables = Mapping[str, str | int | None]


class AnsibleInventory(Frozen, frozen=True):
    """Hosts with their variables, and groups of hosts or of other groups; all sorted."""

    hosts: tuple[tuple[str, HostVariables], ...]
    groups: tuple["AnsibleGroup", ...]


class AnsibleGroup(Frozen, frozen=True):
    """An Ansible group: its name, and the names of its members."""

    name: str
    members: tuple[str, ...]
    holds: Literal["hosts", "children"] = "hosts"


def ansible_inventory(state: State, routes: Sequence[Route], ssh_config: str) -> AnsibleInventory:
    """Return the inventory of the nodes in ``routes``.

    Groups: ``frontends`` and ``computes`` of all clusters; each cluster, with a group for its frontend, its computes and each of
    its groups; each site, with a group for each cluster there (see :mod:`pragmaspec.access.ansible_groups`). ``ssh_config`` is
    the path of the client configuration for the connections.
    """
    nodes = {node.address: node for node in state.nodes()}
    hosts: list[tuple[str, HostVariables]] = []
    members: dict[str, list[str]] = {FRONTENDS: [], COMPUTES: []}
    children: dict[str, dict[str, None]] = {}
    for route in routes:
        node = nodes[route.node]
        hosts.append((route.name, _variables(node, route, ssh_config)))
        own = node_group(node.cluster, node.group_name)
        sets = (node_group(node.cluster, "frontend"), node_group(node.cluster, "compute"), own)
        place = cluster_at_site_group(node.cluster, node.site)
        children.setdefault(cluster_group(node.cluster), {}).update(dict.fromkeys(sets))
        children.setdefault(site_group(node.site), {})[place] = None
        for name in (*sets, place):
            members.setdefault(name, [])
        for name in (*_ROLE_GROUPS.get(node.group_name, ()), own, place):
            members[name].append(route.name)
    groups = [AnsibleGroup(name=name, members=tuple(found)) for name, found in members.items()]
    groups += [AnsibleGroup(name=name, members=tuple(found), holds="children") for name, found in children.items()]
    return AnsibleInventory(hosts=tuple(sorted(hosts)), groups=tuple(sorted(groups, key=lambda group: group.name)))


def inventory_text(found: AnsibleInventory, *, as_json: bool = False) -> str:
    """Return an inventory file, in YAML with a leading comment or in JSON, for ``.yaml``, ``.yml`` or ``.json``."""
    groups = {group.name: group for group in found.groups}
    inner = {member for group in found.groups if group.holds == "children" for member in group.members}

    def members(group: AnsibleGroup) -> dict[str, Yaml]:
        return {group.holds: {name: members(groups[name]) if group.holds == "children" else {} for name in group.members}}

    children: dict[str, Yaml] = {name: members(group) for name, group in groups.items() if name not in inner}
    form: dict[str, Yaml] = {"all": {"hosts": dict(found.hosts), "children": children}}
    return _json(form) if as_json else _HEAD + yaml_text(form)


def list_text(found: AnsibleInventory) -> str:
    """Return the output of an inventory script for ``--list``: JSON that includes the variables of every host."""
    groups: dict[str, Yaml] = {group.name: {group.holds: list(group.members)} for group in found.groups}
    return _json({"_meta": {"hostvars": dict(found.hosts)}, **groups})


def host_text(found: AnsibleInventory, host: str) -> str:
    """Return the output of an inventory script for ``--host HOST``: variables as JSON; an empty object for an unknown host."""
    return _json(dict(found.hosts).get(host, {}))


def inventory_warnings(state: State, routes: Sequence[Route]) -> tuple[str, ...]:
    """Return a sentence per reason why Ansible cannot reach some of the recorded nodes."""
    nodes = state.nodes()
    if not nodes:
        return ("No node is recorded, so the inventory is empty. `pragmaspec apply` creates the nodes of the spec.",)
    routed = {route.node for route in routes}
    apart = [node.name for node in nodes if node.address not in routed]
    off = sorted({node.cluster for node in nodes if node.address in routed and not node.running})
    found = []
    if apart:
        found.append(
            f"Without a public address, of their own or of their frontend, and therefore left out: {few(apart, _MAX_NAMED)}."
        )
    if off:
        commands = " and ".join(f"`pragmaspec boot {cluster}`" for cluster in off[:_MAX_NAMED])
        found.append(
            f"Recorded as off, so that nothing answers there: the nodes of {few(off, _MAX_NAMED)}. {commands} starts them."
        )
    return tuple(found)


def _variables(node: Node, route: Route, ssh_config: str) -> HostVariables:
    private, public = node.nic("private"), node.nic("public")
    return {
        "ansible_host": _literal(route.name),
        "ansible_user": _literal(route.user),
        "ansible_ssh_common_args": _literal(f"-F {quote(ssh_config)}"),
        # Ansible's default of 10 s comes before the client configuration on ssh's command line, where the first value wins.
        "ansible_ssh_timeout": route.connect_timeout_s,
        "pragmaspec_address": _literal(node.address),
        "pragmaspec_cluster": _literal(node.cluster),
        "pragmaspec_site": _literal(node.site),
        "pragmaspec_role": node.role,
        "pragmaspec_group": node.group_name,
        "pragmaspec_index": node.index,
        "pragmaspec_cpus": node.cpus,
        "pragmaspec_memory_mib": node.memory_mib,
        "pragmaspec_running": node.running,
        "pragmaspec_private_address": private.address if private else None,
        "pragmaspec_public_address": public.address if public else None,
    }


def _literal(text: str) -> str:
    """Return ``text`` escaped for Ansible, which evaluates every value as a Jinja template."""
    marked = any(mark in text for mark in ("{{", "{%", "{#"))
    # Inside an expression Ansible keeps backslashes as they are, so that no quoted text could hold every character.
    return text.replace("{", "{{ '{' }}") if marked else text


def _json(form: Mapping[str, Yaml]) -> str:
    return json.dumps(form, indent=2, sort_keys=True) + "\n"
