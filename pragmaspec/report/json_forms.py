"""The JSON documents of ``--json``. Their keys are documented in docs/json.md and are stable.

All keys are always present, also those with default values.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pragmaspec.errors import PragmaspecError, Problem
from pragmaspec.frozen import to_plain
from pragmaspec.resources import STANDARD_MTU, Allocation, Nic, Node, PublicGrant, Resource, SizeRequest, StagedImage, Volume
from pragmaspec.site import Site
from pragmaspec.state_model import Record

JsonObject = dict[str, Any]


def fields_json(value: msgspec.Struct, *names: str) -> JsonObject:
    """Return some fields of a struct as a JSON object."""
    return {name: to_plain(getattr(value, name)) for name in names}


def problem_json(problem: Problem) -> JsonObject:
    """Return a problem of any document."""
    return fields_json(problem, *problem.__struct_fields__)


def error_json(error: PragmaspecError) -> JsonObject:
    """Return the document of a failed command."""
    return {
        "kind": "error",
        "format": 1,
        "error": type(error).__name__.removesuffix("Error"),
        "exit_status": error.exit_status,
        "problems": [problem_json(problem) for problem in error.problems],
    }


def site_json(site: Site) -> JsonObject:
    """Return the name and provider of a site."""
    return {"name": site.name, "provider": site.provider_name}


def resource_json(resource: Resource) -> JsonObject:
    """Return a resource of any kind."""
    if isinstance(resource, Node):
        return _node_json(resource)
    if isinstance(resource, Volume):
        return _volume_json(resource)
    return _allocation_json(resource) if isinstance(resource, Allocation) else _image_json(resource)


def record_json(record: Record) -> JsonObject:
    """Return a recorded resource."""
    return {
        **resource_json(record.resource),
        "status": record.status,
        "generation": record.generation,
        "outputs": dict(record.outputs),
        "problem": record.problem,
    }


def json_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """Return ``value`` as indented ASCII text, which cannot contain terminal control sequences."""
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"


def _request_json(request: SizeRequest) -> JsonObject:
    return {**fields_json(request, "cpus", "memory_mib", "disk_bytes", "flavor"), "devices": dict(request.devices)}


def _node_json(node: Node) -> JsonObject:
    identity = ("site", "cluster", "name", "role")
    return {
        "kind": "node",
        **fields_json(node, "address", *identity),
        "group": node.group_name,
        **fields_json(node, "index", "cpus", "memory_mib", "disk_bytes", "image"),
        "addresses": {nic.network: nic.address or None for nic in node.nics},
        "nics": [_nic_json(nic) for nic in node.nics],
        **fields_json(node, "running", "protect", "autostart", "firmware", "readiness"),
        "flavor": node.flavor or None,
        "requested": _request_json(node.requested) if node.flavor else None,
        **fields_json(node, "disks"),
        "cpu": node.cpu or None,
        "devices": [fields_json(device, "alias", "address") for device in node.devices],
        "pinned": list(node.pinned),
    }


def _volume_json(volume: Volume) -> JsonObject:
    return {"kind": "volume", **fields_json(volume, "address", "site", "name", "size_bytes", "format", "cluster")}


def _nic_json(nic: Nic) -> JsonObject:
    return {
        **fields_json(nic, "network", "mac", "address", "prefix", "gateway", "dns", "mtu", "translated"),
        "mac": nic.mac or None,
        "address": nic.address or None,
    }


def _allocation_json(allocation: Allocation) -> JsonObject:
    return {
        "kind": "allocation",
        **fields_json(allocation, "address", "site", "cluster", "networks"),
        "public": [_grant_json(grant) for grant in allocation.public],
        "protect": allocation.protect,
    }


def _grant_json(grant: PublicGrant) -> JsonObject:
    return {**fields_json(grant, *grant.__struct_fields__), "address": grant.address or None, "mtu": grant.mtu or STANDARD_MTU}


def _image_json(image: StagedImage) -> JsonObject:
    return {
        "kind": "image",
        **fields_json(image, "address", "site", "name", "digest", "format", "virtual_size_bytes"),
        "transfer_bytes": image.transfer_bytes,
        "site_image": _site_image_json(image),
        **fields_json(image, "disk", "kernel", "initrd", "cmdline"),
    }


def _site_image_json(image: StagedImage) -> JsonObject | None:
    """Return the site's description of an image that lives there; None for an image from elsewhere."""
    if not image.site_image:
        return None
    return {"id": image.site_image, "name": image.site_name, "checksum": image.checksum or None, "in_place": image.in_place}
