"""What one model cannot see alone: names that refer to something, and what clusters ask of each other and of their site."""

from collections.abc import Callable, Collection, Iterator

from pragmaspec.spec.fields.addresses import ranges_contain
from pragmaspec.spec.findings import Finding, closest_match, listed
from pragmaspec.spec.models.cluster import ClusterModel, ComputesModel, SiteModel, SpecModel
from pragmaspec.spec.models.move import move_findings
from pragmaspec.spec.validation.network_checks import network_findings
from pragmaspec.spec.yaml.tree import TreePath

ANY_SITE = ("sites", "*")
"""Stands for sites that nobody knows of, because a file of sites cannot be read."""


def cross_findings(spec: SpecModel, images: Collection[str], sites: Collection[str]) -> tuple[Finding, ...]:
    """What is wrong between the parts of ``spec``; ``images`` and ``sites`` are all names, also of what is wrong itself."""
    found: list[Finding] = []
    for name, cluster in spec.clusters.items():
        at = ("clusters", name)
        found += _unknown_names(at, cluster, images, sites)
        found += _image_missing(at, cluster, images)
        found += network_findings(at, cluster)
        found += _unreachable(at, cluster)
        found += _without_cloud_init(at, cluster, spec)
        if cluster.site in spec.sites:
            found += _outside_pools(at, cluster, spec.sites[cluster.site])
    found += _claimed_twice(spec, ("public",), "public address", _named_address)
    found += _claimed_twice(spec, ("private", "vlan"), "VLAN", _named_vlan)
    found += move_findings(spec.moved, tuple(spec.clusters), {cluster.site for cluster in spec.clusters.values()}, sites)
    return tuple(found)


def named_images(at: TreePath, cluster: ClusterModel) -> dict[TreePath, str | None]:
    """The three places of a cluster that may name an image, and the names there."""
    return {
        (*at, "image"): cluster.image,
        (*at, "frontend", "image"): cluster.frontend.image,
        (*at, "computes", "image"): cluster.computes.image,
    }


def _unknown_names(at: TreePath, cluster: ClusterModel, images: Collection[str], sites: Collection[str]) -> Iterator[Finding]:
    if cluster.site not in sites:
        yield _unknown((*at, "site"), "site", cluster.site, sites)
    for path, name in named_images(at, cluster).items():
        if name is not None and name not in images:
            yield _unknown(path, "image", name, images)


def _unknown(path: TreePath, kind: str, name: str, known: Collection[str]) -> Finding:
    close = closest_match(name, known)
    if close:
        advice = f"Did you mean `{close}`?"
    elif known:
        advice = f"There {'is' if len(known) == 1 else 'are'} {listed(sorted(known))}."
    else:
        example = {"site": "{provider: libvirt}", "image": "{build: {debian: bookworm}}"}[kind]
        advice = f"Write, for example, `{kind}s: {{{name}: {example}}}`" + (", here or in sites.yaml." if kind == "site" else ".")
    about = (ANY_SITE,) if kind == "site" else ()
    return Finding(path, f"Unknown {kind}", f"There is no {kind} `{name}`. {advice}", about=about)


def _image_missing(at: TreePath, cluster: ClusterModel, images: Collection[str]) -> Iterator[Finding]:
    places = named_images(at, cluster)
    without = [role for role in ("frontend", "computes") if places[(*at, role, "image")] is None]
    if cluster.computes.count == 0 and "computes" in without:
        without.remove("computes")
    if cluster.image is None and without:
        example = next(iter(images), "debian-12")
        detail = f"Nothing says what {listed(without)} shall boot. Write, for example, `image: {example}`."
        yield Finding(at, "Image missing", detail, about=tuple(places))


def _unreachable(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    if cluster.public == "none" and cluster.readiness.when != "none":
        detail = (
            "Without a public address nobody here can log in to see whether the cluster is ready. "
            "Write `readiness: none` beside it, or `public: pool`."
        )
        yield Finding((*at, "public"), "Cannot be waited for", detail, about=((*at, "readiness"),))


def _without_cloud_init(at: TreePath, cluster: ClusterModel, spec: SpecModel) -> Iterator[Finding]:
    """What only cloud-init does, asked of nodes that have none."""
    told: set[TreePath] = set()
    for role, nodes in (("frontend", cluster.frontend), ("computes", cluster.computes)):
        name = nodes.image or cluster.image or (cluster.frontend.image if role == "computes" else None)
        image = spec.images.get(name or "")
        if image is None or image.guest != "files" or (isinstance(nodes, ComputesModel) and nodes.count == 0):
            continue
        asked = {(*at, role, key): getattr(nodes, key) for key in ("packages", "user_data")}
        asked |= {(*at, key): getattr(cluster, key) for key in ("packages", "user_data")}
        for path in (path for path, value in asked.items() if value and path not in told):
            told.add(path)
            detail = (
                f"Image `{name}` has `guest: files`, and without cloud-init nobody there would read this. Put it into the image, "
                "or leave it out."
            )
            yield Finding(path, "Needs cloud-init", detail, about=(("images", name or "", "guest"),))


def _outside_pools(at: TreePath, cluster: ClusterModel, site: SiteModel) -> Iterator[Finding]:
    vlan, address = _named_vlan(cluster), _named_address(cluster)
    if vlan is not None and not any(first <= vlan <= last for first, last in site.vlans):
        ranges = listed(str(first) if first == last else f"{first}-{last}" for first, last in site.vlans)
        detail = f"Site `{cluster.site}` has the VLANs {ranges} for clusters. Write one of them, or leave it out for a free one."
        yield Finding((*at, "private", "vlan"), "VLAN outside the site's", detail, about=(("sites", cluster.site, "vlans"),))
    pool = site.public.addresses if site.public else ()
    if address is not None and pool and not ranges_contain(pool, address):
        detail = f"Site `{cluster.site}` has {listed(pool)} for clusters. Write one of them, or `pool` for a free one."
        yield Finding((*at, "public"), "Address outside the site's", detail, about=(("sites", cluster.site, "public"),))


def _claimed_twice(
    spec: SpecModel, key: TreePath, what: str, claim: Callable[[ClusterModel], str | int | None]
) -> Iterator[Finding]:
    holders: dict[tuple[str, str | int], str] = {}
    for name, cluster in spec.clusters.items():
        claimed = claim(cluster)
        if claimed is None:
            continue
        holder = holders.setdefault((cluster.site, claimed), name)
        if holder != name:
            detail = f"Cluster `{holder}` has {what} {claimed} at site `{cluster.site}` already. Write another, or leave it out."
            yield Finding(("clusters", name, *key), "Claimed twice", detail)


def _named_address(cluster: ClusterModel) -> str | None:
    return None if cluster.public in {"pool", "none"} else cluster.public


def _named_vlan(cluster: ClusterModel) -> int | None:
    return cluster.private.vlan
