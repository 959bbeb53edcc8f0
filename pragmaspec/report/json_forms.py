"""Plain values as the dictionaries that ``--json`` prints. The keys are documented in docs/json.md and stay.

Every key is always there, also when its value is the default, so that a reader need not know the defaults.

JSON for people and programs: indented, keys in the order of the documentation, one newline at the end.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pragmaspec.errors import PragmaspecError, Problem, Where
from pragmaspec.resources import Allocation, Blob, Nic, Node, Resource, StagedImage
from pragmaspec.site import Site
from pragmaspec.state_model import Record

JsonObject = dict[str, Any]
STANDARD_MTU = 1500


def where_json(where: Where | None) -> JsonObject | None:
    """A position in a file."""
    return None if where is None else {"file": where.file, "line": where.line, "column": where.column}


def problem_json(problem: Problem) -> JsonObject:
    """One thing that is wrong."""
    return {
        "summary": problem.summary,
        "detail": problem.detail,
        "where": where_json(problem.where),
        "quote": problem.quote,
        "severity": problem.severity,
    }


def error_json(error: PragmaspecError) -> JsonObject:
    """What ``--json`` prints when a command fails: the kind of error, its exit status, every problem."""
    return {
        "kind": "error",
        "format": 1,
        "error": type(error).__name__.removesuffix("Error"),
        "exit_status": error.exit_status,
        "problems": [problem_json(problem) for problem in error.problems],
    }


def site_json(site: Site) -> JsonObject:
    """Which site, driven by which provider."""
    return {"name": site.name, "provider": str(site.__struct_config__.tag)}


def resource_json(resource: Resource) -> JsonObject:
    """A resource of any kind; ``kind`` tells which."""
    if isinstance(resource, Node):
        return _node(resource)
    return _allocation(resource) if isinstance(resource, Allocation) else _image(resource)


def record_json(record: Record) -> JsonObject:
    """A resource with what is known of it."""
    return {
        **resource_json(record.resource),
        "status": record.status,
        "generation": record.generation,
        "outputs": dict(record.outputs),
        "problem": record.problem,
    }


def _node(node: Node) -> JsonObject:
    return {
        "kind": "node",
        "address": node.address,
        "site": node.site,
        "cluster": node.cluster,
        "name": node.name,
        "role": node.role,
        "index": node.index,
        "cpus": node.cpus,
        "memory_mib": node.memory_mib,
        "disk_bytes": node.disk_bytes,
        "image": node.image,
        "addresses": {nic.network: nic.address for nic in node.nics},
        "nics": [_nic(nic) for nic in node.nics],
        "running": node.running,
        "protect": node.protect,
        "autostart": node.autostart,
        "readiness": {"when": node.readiness.when, "timeout_s": node.readiness.timeout_s},
    }


def _nic(nic: Nic) -> JsonObject:
    return {
        "network": nic.network,
        "mac": nic.mac,
        "address": nic.address,
        "prefix": nic.prefix,
        "gateway": nic.gateway,
        "dns": list(nic.dns),
        "mtu": nic.mtu,
    }


def _allocation(allocation: Allocation) -> JsonObject:
    return {
        "kind": "allocation",
        "address": allocation.address,
        "site": allocation.site,
        "cluster": allocation.cluster,
        "networks": [
            {
                "name": network.name,
                "cidr": network.cidr,
                "vlan": network.vlan,
                "bridge": network.bridge,
                "mtu": network.mtu,
            }
            for network in allocation.networks
        ],
        "public": [
            {
                "node": grant.node,
                "address": grant.address,
                "prefix": grant.prefix,
                "gateway": grant.gateway,
                "dns": list(grant.dns),
                "fqdn": grant.fqdn,
                "network": grant.network,
                "bridge": grant.bridge,
                "mtu": grant.mtu or STANDARD_MTU,
            }
            for grant in allocation.public
        ],
        "protect": allocation.protect,
    }


def _image(image: StagedImage) -> JsonObject:
    return {
        "kind": "image",
        "address": image.address,
        "site": image.site,
        "name": image.name,
        "digest": image.digest,
        "format": image.format,
        "virtual_size_bytes": image.virtual_size_bytes,
        "transfer_bytes": image.transfer_bytes,
        "disk": _blob(image.disk),
        "kernel": _blob(image.kernel),
        "initrd": _blob(image.initrd),
        "cmdline": image.cmdline,
    }


def _blob(blob: Blob | None) -> JsonObject | None:
    return None if blob is None else {"sha256": blob.sha256, "size_bytes": blob.size_bytes}


def json_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """``value`` as JSON text in ASCII, so that no terminal obeys what stands in it."""
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"
