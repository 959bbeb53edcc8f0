"""Expands a site of the spec into the plain value that providers and the state use."""

import json
from typing import Any

from pragmaspec.errors import SiteError, SpecError
from pragmaspec.networking import HYPERVISOR_NETWORKING, Networking
from pragmaspec.plugins import reporting
from pragmaspec.site import (
    PROCESSOR_LEVELS,
    ExternalSite,
    Fault,
    Flavor,
    LibvirtSite,
    Overcommit,
    PublicNetwork,
    QuotaKind,
    Reserve,
    SimulatedHost,
    SimulatedImage,
    SimulatedSite,
    Site,
)
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.models.simulated_site import FaultModel, FlavorModel, QuotasModel, SimulatedSiteModel
from pragmaspec.spec.models.site import LibvirtSiteModel, PublicNetworkModel, SiteOptions


def wanted_site(loaded: LoadedSpec, name: str) -> Site:
    """Return the site called ``name``."""
    model: SiteOptions = loaded.model.sites[name]
    if isinstance(model, LibvirtSiteModel):
        return LibvirtSite(
            **_common_options(name, model, HYPERVISOR_NETWORKING),
            uri=model.uri,
            virt_type=model.virt_type,
            pool=model.pool,
            bridge=model.bridge,
            fetch=model.fetch,
            neighbourhood=model.neighbourhood,
            devices=tuple(sorted(model.devices.items())),
        )
    if not isinstance(model, SimulatedSiteModel):
        return _external(loaded, name, model)
    connects = model.networking(HYPERVISOR_NETWORKING)
    return SimulatedSite(
        **_common_options(name, model, connects),
        file=_file(loaded, name, model),
        host=SimulatedHost(
            cpus=model.host.cpus,
            memory_mib=model.host.memory_mib,
            disk_bytes=model.host.disk_bytes,
            visible=model.host.visible,
            uefi=model.host.uefi,
            threads=model.host.threads or 0,
            cells=model.host.cells,
        ),
        latency_s=model.latency_ms / 1000,
        faults=tuple(_fault(fault) for fault in model.faults),
        seed=model.seed,
        flavors=None if model.flavors is None else tuple(_flavor(*entry) for entry in sorted(model.flavors.items())),
        quotas=_quotas(model.quotas),
        processors=PROCESSOR_LEVELS if model.processors is None else model.processors,
        devices=tuple(sorted(model.devices.items())),
        images=tuple(SimulatedImage(**image.model_dump()) for image in model.images),
        late=tuple(sorted(set(model.late))),
        user_data_limit=model.user_data_limit_bytes,
        connects=connects,
    )


def _external(loaded: LoadedSpec, name: str, model: SiteOptions) -> ExternalSite:
    plugin, description = loaded.plugins[name], loaded.plugins[name].description
    try:
        with reporting(plugin.name, plugin.package):
            networking = model.networking(description.networking)
            late_values = model.late_values(description.late_values)
            delivery = model.delivery(description.delivery)
            fetches_images = model.fetches_images()
            options = model.plain_options(loaded.site_directories[name])
            text = json.dumps(options, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except SiteError as error:
        at = ("sites", name, "provider")
        raise SpecError.of(loaded.problem(at, each.summary, each.detail) for each in error.problems) from error
    return ExternalSite(
        **_common_options(name, model, networking),
        plugin=plugin.name,
        options=text,
        late_effects=description.completes_late,
        further_disks="volume_storage" in description.abilities,
        late=late_values,
        declared_delivery=delivery,
        declared_networking=networking,
        fetches_images=fetches_images,
    )


def _common_options(name: str, model: SiteOptions, networking: Networking) -> dict[str, Any]:
    """Return the fields of :class:`SiteBase`."""
    return {
        "name": name,
        "public": _public(model.public, networking),
        "vlans": model.vlans if networking.vlans else (),
        "reserve": Reserve(cpus=model.reserve.cpus, memory_mib=model.reserve.memory_mib),
        "overcommit": Overcommit(cpus=model.overcommit.cpus, memory=model.overcommit.memory, disk=model.overcommit.disk),
        "parallel": model.parallel,
    }


def _public(model: PublicNetworkModel | None, networking: Networking) -> PublicNetwork | None:
    if model is None:
        return None
    return PublicNetwork(
        network=model.network if model.network or model.bridge or networking.translated else "default",
        bridge=model.bridge,
        addresses=model.addresses,
        prefix=model.prefix,
        gateway=model.gateway,
        dns=model.dns,
        mtu=model.mtu,
        names=tuple(sorted(model.names.items())),
    )


def _fault(model: FaultModel) -> Fault:
    return Fault(call=model.call, kind=model.kind, match=model.match, nth=model.nth or 0, delay_s=model.delay_ms / 1000)


def _flavor(name: str, model: FlavorModel) -> Flavor:
    return Flavor(
        name=name,
        cpus=model.cpus,
        memory_mib=model.memory_mib,
        disk_bytes=model.disk_bytes or 0,
        devices=tuple(sorted(model.devices.items())),
        description=model.description,
    )


def _quotas(model: QuotasModel) -> tuple[tuple[QuotaKind, int], ...]:
    limits: dict[QuotaKind, int | None] = {
        "instances": model.instances,
        "cores": model.cores,
        "memory": model.memory_mib,
        "disk": model.disk_bytes,
        "addresses": model.addresses,
        "networks": model.networks,
        "ports": model.ports,
        "volumes": model.volumes,
        "volume_storage": model.volume_storage_bytes,
        "security_groups": model.security_groups,
        "security_rules": model.security_rules,
        "subnets": model.subnets,
        "routers": model.routers,
        "keys": model.keys,
    }
    return tuple((kind, limit) for kind, limit in limits.items() if limit is not None)


def _file(loaded: LoadedSpec, name: str, model: SimulatedSiteModel) -> str | None:
    """Return the absolute path; the spec's is relative to the file that defines the site."""
    return str((loaded.site_directories[name] / model.file).absolute()) if model.file else None
