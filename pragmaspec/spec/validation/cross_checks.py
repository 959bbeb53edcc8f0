"""Checks across models: references between them, and conflicts between clusters and with their site."""

from collections.abc import Callable, Collection, Iterator, Mapping

from pragmaspec.networking import Networking
from pragmaspec.spec.fields.addresses import ranges_contain
from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.models.cluster import ClusterModel, ReadinessModel, SiteOptions, SpecModel
from pragmaspec.spec.models.move import move_findings
from pragmaspec.spec.models.roles import image_of, node_entries, node_sets
from pragmaspec.spec.validation.disk_checks import disk_findings, volume_findings
from pragmaspec.spec.validation.group_checks import ambiguous_name_findings, group_findings
from pragmaspec.spec.validation.image_checks import image_site_findings, misspelt_site_findings
from pragmaspec.spec.validation.network_checks import network_findings
from pragmaspec.spec.validation.site_network_checks import site_network_findings
from pragmaspec.spec.validation.user_checks import user_findings
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import did_you_mean

ANY_SITE = ("sites", "*")
"""The path of sites that are unknown because a sites file cannot be read."""


def cross_findings(
    spec: SpecModel, images: Collection[str], sites: Collection[str], networking: Mapping[str, Networking]
) -> tuple[Finding, ...]:
    """Return the findings in ``spec``; ``images`` and ``sites`` are all defined names, also of invalid entries.

    ``networking``: of the valid sites, by name.
    """
    found: list[Finding] = []
    for name, cluster in spec.clusters.items():
        at = ("clusters", name)
        found += _unknown_names(at, cluster, images, sites)
        found += _missing_image(at, cluster, images)
        found += image_site_findings(at, cluster, spec, named_images(at, cluster))
        found += network_findings(at, cluster)
        found += group_findings(at, cluster)
        found += user_findings(at, cluster)
        found += disk_findings(at, cluster)
        found += _unreachable(at, cluster)
        found += _settings_without_cloud_init(at, cluster, spec)
        if cluster.site in spec.sites:
            found += _outside_pools(at, cluster, spec.sites[cluster.site], has_vlans=networking[cluster.site].vlans)
    found += misspelt_site_findings(spec, sites)
    found += site_network_findings(spec, networking)
    found += _claimed_twice(spec, ("public",), "public address", _named_address)
    found += _claimed_twice(spec, ("private", "vlan"), "VLAN", _named_vlan)
    found += ambiguous_name_findings(spec)
    found += volume_findings(spec)
    found += move_findings(spec.moved, tuple(spec.clusters), {cluster.site for cluster in spec.clusters.values()}, sites)
    return tuple(found)


def named_images(at: TreePath, cluster: ClusterModel) -> dict[TreePath, str | None]:
    """Return the names of images in a cluster by path: of the cluster, its sets of nodes, and single nodes."""
    return {
        (*at, "image"): cluster.image,
        **{(*at, *entry.path, "image"): entry.nodes.image for entry in node_entries(cluster)},
    }


def _unknown_names(at: TreePath, cluster: ClusterModel, images: Collection[str], sites: Collection[str]) -> Iterator[Finding]:
    if cluster.site not in sites:
        yield _unknown((*at, "site"), "site", cluster.site, sites)
    for path, name in named_images(at, cluster).items():
        if name is not None and name not in images:
            yield _unknown(path, "image", name, images)


def _unknown(path: TreePath, kind: str, name: str, known: Collection[str]) -> Finding:
    if known:
        defined = f"only {kind} is" if len(known) == 1 else f"defined {kind}s are"
        advice = did_you_mean(name, known, f"The {defined} {listed(sorted(known))}.", quote="`")
    else:
        example = {"site": "{provider: libvirt}", "image": "{build: {debian: bookworm}}"}[kind]
        advice = f"Write, for example, `{kind}s: {{{name}: {example}}}`" + (", here or in sites.yaml." if kind == "site" else ".")
    about = (ANY_SITE,) if kind == "site" else ()
    return Finding(path, f"Unknown {kind}", f"There is no {kind} `{name}`. {advice}", about=about)


def _missing_image(at: TreePath, cluster: ClusterModel, images: Collection[str]) -> Iterator[Finding]:
    names = named_images(at, cluster)
    without = [each.path for each in node_sets(cluster) if each.count and each.nodes.image is None]
    if cluster.image is None and without:
        example = next(iter(images), "debian-12")
        detail = f"No image is set for {listed('.'.join(path) for path in without)}. Write, for example, `image: {example}`."
        yield Finding(at, "Image missing", detail, about=tuple(names))


def _unreachable(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    if cluster.public != "none":
        return
    for path, readiness in _readinesses(cluster):
        if readiness.when != "none":
            detail = (
                "Without a public address, the cluster cannot be reached to check whether it is ready. "
                "Write `readiness: none` too, or `public: pool`."
            )
            yield Finding((*at, "public"), "Readiness cannot be checked", detail, about=((*at, *path, "readiness"),))
            return


def _readinesses(cluster: ClusterModel) -> Iterator[tuple[tuple[str, ...], ReadinessModel]]:
    """Yield the readiness conditions of nodes, with the path of each."""
    for entry in node_entries(cluster):
        own, of_set = entry.nodes.readiness, entry.set.nodes.readiness
        if own or of_set:
            yield (entry.path, own) if own else (entry.set.path, of_set or cluster.readiness)
        else:
            yield (), cluster.readiness


def _settings_without_cloud_init(at: TreePath, cluster: ClusterModel, spec: SpecModel) -> Iterator[Finding]:
    """Yield findings for settings that require cloud-init on nodes whose image has none."""
    reported: set[TreePath] = set()
    for entry in node_entries(cluster):
        name = image_of(cluster, entry)
        image = spec.images.get(name)
        if image is None or image.guest != "files" or entry.set.count == 0:
            continue
        settings = {(*at, *entry.path, key): getattr(entry.nodes, key) for key in ("packages", "user_data")}
        settings |= {(*at, *entry.set.path, key): getattr(entry.set.nodes, key) for key in ("packages", "user_data")}
        settings |= {(*at, key): getattr(cluster, key) for key in ("packages", "user_data")}
        for path in (path for path, value in settings.items() if value and path not in reported):
            reported.add(path)
            detail = (
                f"`{path[-1]}` requires cloud-init, and image `{name}` has none (`guest: files`). Remove the key, and change the "
                "image instead."
            )
            yield Finding(path, "cloud-init required", detail, about=(("images", name, "guest"),))


def _outside_pools(at: TreePath, cluster: ClusterModel, site: SiteOptions, *, has_vlans: bool) -> Iterator[Finding]:
    vlan, address = _named_vlan(cluster) if has_vlans else None, _named_address(cluster)
    if vlan is not None and not any(first <= vlan <= last for first, last in site.vlans):
        ranges = listed(str(first) if first == last else f"{first}-{last}" for first, last in site.vlans)
        detail = f"Site `{cluster.site}` has the VLANs {ranges}. Write one of them, or remove the key for the next free one."
        yield Finding(
            (*at, "private", "vlan"), "VLAN outside the site's ranges", detail, about=(("sites", cluster.site, "vlans"),)
        )
    pool = site.public.addresses if site.public else ()
    if address is not None and pool and not ranges_contain(pool, address):
        detail = f"Site `{cluster.site}` has the addresses {listed(pool)}. Write one of them, or `pool` for the next free one."
        yield Finding((*at, "public"), "Address outside the site's ranges", detail, about=(("sites", cluster.site, "public"),))


def _claimed_twice(
    spec: SpecModel, key: TreePath, kind: str, claim: Callable[[ClusterModel], str | int | None]
) -> Iterator[Finding]:
    holders: dict[tuple[str, str | int], str] = {}
    for name, cluster in spec.clusters.items():
        claimed = claim(cluster)
        if claimed is None:
            continue
        holder = holders.setdefault((cluster.site, claimed), name)
        if holder != name:
            detail = (
                f"Cluster `{holder}` already has {kind} {claimed} at site `{cluster.site}`. Write another, or remove the key."
            )
            yield Finding(("clusters", name, *key), "Claimed twice", detail)


def _named_address(cluster: ClusterModel) -> str | None:
    return None if cluster.public in {"pool", "none"} else cluster.public


def _named_vlan(cluster: ClusterModel) -> int | None:
    return cluster.private.vlan
