"""Keys of a spec that have no meaning at a site which connects nodes in another way than a hypervisor."""

from collections.abc import Iterable, Iterator

from pragmaspec.errors import Problem
from pragmaspec.site import Site
from pragmaspec.spec.loaded_spec import LoadedSpec

_OF_PUBLIC_INTERFACES = ("bridge", "prefix", "gateway", "mtu")
"""Keys of a site's ``public`` that describe interfaces for public addresses."""


def network_problems(loaded: LoadedSpec, sites: Iterable[Site]) -> Iterator[Problem]:
    """Yield a problem per VLAN number at a site without them, and per key of public interfaces where addresses are translated."""
    without = set()
    for site in sites:
        if not site.networking.vlans:
            without.add(site.name)
            if "vlans" in loaded.model.sites[site.name].model_fields_set:
                yield _no_vlans(loaded, site.name, ("sites", site.name, "vlans"))
        if site.networking.translated:
            yield from _public_problems(loaded, site.name)
    for name, cluster in loaded.model.clusters.items():
        if cluster.site in without and cluster.private.vlan is not None:
            yield _no_vlans(loaded, cluster.site, ("clusters", name, "private", "vlan"))


def _no_vlans(loaded: LoadedSpec, site: str, at: tuple[str, ...]) -> Problem:
    detail = f"Site `{site}` has no VLAN numbers: it keeps the networks of clusters apart itself. Remove `{at[-1]}`."
    return loaded.problem(at, "No VLAN numbers at the site", detail)


def _public_problems(loaded: LoadedSpec, site: str) -> Iterator[Problem]:
    public = loaded.model.sites[site].public
    for key in _OF_PUBLIC_INTERFACES if public is not None else ():
        if getattr(public, key) is not None:
            detail = (
                f"Site `{site}` translates public addresses to the private interfaces of frontends, which have no public ones. "
                f"Remove `{key}`."
            )
            yield loaded.problem(("sites", site, "public", key), "No public interfaces at the site", detail)
