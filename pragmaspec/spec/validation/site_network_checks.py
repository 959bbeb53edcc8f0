"""Checks of keys that have no meaning at a site which connects nodes in another way than a hypervisor."""

from collections.abc import Iterator, Mapping

from pragmaspec.networking import Networking
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import SpecModel
from pragmaspec.spec.models.site import SiteOptions
from pragmaspec.spec.yaml.tree import TreePath

_OF_PUBLIC_INTERFACES = ("bridge", "prefix", "gateway", "mtu")
"""Keys of a site's ``public`` that describe interfaces for public addresses."""


def site_network_findings(spec: SpecModel, networking: Mapping[str, Networking]) -> Iterator[Finding]:
    """Yield a finding per VLAN number at a site without them, and per key of public interfaces where addresses are translated.

    ``networking``: of the sites, by name.
    """
    for name, site in spec.sites.items():
        if not networking[name].vlans and "vlans" in site.model_fields_set:
            yield _no_vlans(name, ("sites", name, "vlans"))
        if networking[name].translated:
            yield from _of_public_interfaces(name, site)
    for name, cluster in spec.clusters.items():
        if cluster.private.vlan is not None and cluster.site in networking and not networking[cluster.site].vlans:
            yield _no_vlans(cluster.site, ("clusters", name, "private", "vlan"))


def _no_vlans(site: str, path: TreePath) -> Finding:
    detail = f"Site `{site}` has no VLAN numbers: it keeps the networks of clusters apart itself. Remove `{path[-1]}`."
    return Finding(path, "No VLAN numbers at the site", detail)


def _of_public_interfaces(name: str, site: SiteOptions) -> Iterator[Finding]:
    for key in _OF_PUBLIC_INTERFACES:
        if getattr(site.public, key, None) is not None:
            detail = (
                f"Site `{name}` translates public addresses to the private interfaces of frontends, which have no public ones. "
                f"Remove `{key}`."
            )
            yield Finding(("sites", name, "public", key), "No public interfaces at the site", detail)
