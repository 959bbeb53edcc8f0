"""Expands a loaded spec into plain values with every default filled in. Pure: the loader has read every file."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.guest.setup.users import ClusterUser
from pragmaspec.planning.expand_sites import wanted_site
from pragmaspec.planning.wanted import (
    Move,
    Wanted,
    WantedCluster,
    WantedDisk,
    WantedImage,
    WantedNetwork,
    WantedNodes,
    WantedPublic,
)
from pragmaspec.resources import Blob, Readiness
from pragmaspec.spec.attachments import complete_user_data
from pragmaspec.spec.fields.user_name import uid_of
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.models.cluster import ClusterModel, NodesModel, ReadinessModel, RoleModel, UserModel
from pragmaspec.spec.models.disk import DiskModel
from pragmaspec.spec.models.roles import NodeEntry, NodeSet, image_of, images_of, node_entries, node_sets
from pragmaspec.spec.quantity import format_size

ImageUse = tuple[str, str]
"""The name of an image, and the site where the one that lives there is used; empty: the image's source is."""


def images_needed(loaded: LoadedSpec) -> tuple[str, ...]:
    """Return the names of the images whose sources to resolve before expanding, in spec order: needed clusters boot them."""
    return tuple(name for name, site in _uses(loaded, needed_only=True) if not site)


def site_images_needed(loaded: LoadedSpec) -> tuple[ImageUse, ...]:
    """Return the images to resolve at their sites before expanding, in spec order."""
    return tuple(use for use in _uses(loaded, needed_only=True) if use[1])


def images_named(loaded: LoadedSpec) -> tuple[str, ...]:
    """Return the names of the images whose sources any cluster boots, in spec order."""
    return tuple(name for name, site in _uses(loaded, needed_only=False) if not site)


def site_images_named(loaded: LoadedSpec) -> tuple[ImageUse, ...]:
    """Return the images that any cluster boots and that live at its site, in spec order."""
    return tuple(use for use in _uses(loaded, needed_only=False) if use[1])


def _uses(loaded: LoadedSpec, *, needed_only: bool) -> tuple[ImageUse, ...]:
    used = {
        _use(loaded, cluster, image)
        for name, cluster in loaded.model.clusters.items()
        if loaded.needs(name) or not needed_only
        for image in images_of(cluster)
    }
    return tuple((name, site) for name, image in loaded.model.images.items() for site in ("", *image.at) if (name, site) in used)


def _use(loaded: LoadedSpec, cluster: ClusterModel, name: str) -> ImageUse:
    image = loaded.model.images.get(name)
    return (name, cluster.site if image is not None and cluster.site in image.at else "")


def placeholder_image(name: str, site: str = "") -> WantedImage:
    """Return a stand-in with an empty digest for an image of which only the name is known."""
    return WantedImage(
        name=name, origin="", digest="", format="raw", disk=Blob(sha256="", size_bytes=0), virtual_size_bytes=0, site=site
    )


def expand(loaded: LoadedSpec, images: Mapping[str, WantedImage], site_images: Iterable[WantedImage] = ()) -> Wanted:
    """Return the expanded spec. ``images`` contains at least :func:`images_needed`, ``site_images`` :func:`site_images_needed`.

    Raises SpecError if a disk is smaller than its image.
    """
    known = {(image.name, image.site): image for image in (*images.values(), *site_images)}
    named = _uses(loaded, needed_only=False)
    resolved = {**{(name, site): placeholder_image(name, site) for name, site in named}, **known}
    clusters = tuple(_cluster(loaded, name, cluster, known.keys()) for name, cluster in loaded.model.clusters.items())
    problems = [
        problem
        for name, cluster in loaded.model.clusters.items()
        if loaded.needs(name)
        for problem in _small_disks(loaded, name, cluster, resolved)
    ]
    if problems:
        raise SpecError.of(problems)
    used = {cluster.site for cluster in clusters}
    written = {name for name, document in loaded.site_documents.items() if document is loaded.document}
    return Wanted(
        spec_file=loaded.file,
        spec_sha256=_digest(loaded, resolved),
        sites=tuple(wanted_site(loaded, name) for name in sorted(used | written)),
        images=tuple(
            replace(image, where=image.where or loaded.where(("images", name, "at", site) if site else ("images", name)))
            for (name, site), image in sorted(resolved.items())
        ),
        clusters=clusters,
        moves=tuple(
            Move(before=move.before, after=move.after, kind=move.kind, where=loaded.where(("moved", position)))
            for position, move in enumerate(loaded.model.moved)
        ),
        warnings=loaded.warnings,
        need=None if loaded.need is None else tuple(sorted(loaded.need)),
    )


def _cluster(loaded: LoadedSpec, name: str, cluster: ClusterModel, known: Collection[ImageUse]) -> WantedCluster:
    at = ("clusters", name)
    unknown = loaded.unread.get(name, ())
    if not loaded.needs(name):
        # The firmware of a disk is detected by reading it.
        all_known = all(_use(loaded, cluster, image) in known for image in images_of(cluster))
        unknown = (*unknown, "firmware", *(() if all_known else ("image",)))
    sets = {each.name: _node_set(loaded, name, cluster, each) for each in node_sets(cluster)}
    everywhere = ("frontend", "compute", *cluster.groups)
    return WantedCluster(
        name=name,
        site=cluster.site,
        frontend=sets["frontend"],
        computes=sets.pop("compute"),
        groups=tuple(nodes for each, nodes in sets.items() if each != "frontend"),
        ssh_keys=loaded.ssh_keys.get(name, ()),
        users=tuple(_user(user, model, loaded.user_keys.get((name, user), ())) for user, model in cluster.users.items()),
        public=_public(loaded, name, cluster.public),
        cidr=cluster.private.range,
        vlan=cluster.private.vlan,
        mtu=cluster.private.mtu,
        networks=tuple(
            WantedNetwork(
                name=network_name,
                cidr=network.range,
                bridge=network.bridge,
                roles=everywhere if network.roles is None else tuple(dict.fromkeys(network.roles)),
                mtu=network.mtu,
                where=loaded.where((*at, "networks", network_name)),
            )
            for network_name, network in cluster.networks.items()
        ),
        readiness=_readiness(cluster.readiness),
        protect=cluster.protect,
        autostart=cluster.autostart,
        running=cluster.state == "running",
        domain=cluster.private.domain,
        unknown=unknown,
        where=loaded.where(at),
    )


def _user(name: str, model: UserModel, keys: tuple[str, ...]) -> ClusterUser:
    return ClusterUser(name=name, uid=model.uid or uid_of(name), ssh_keys=keys, sudo=model.sudo, login_shell=model.shell)


def _node_set(loaded: LoadedSpec, name: str, cluster: ClusterModel, found: NodeSet) -> WantedNodes:
    """Return a set of nodes, with the complete settings of each node that differs."""
    group = "" if found.name in ("frontend", "compute") else found.name
    entries = [entry for entry in node_entries(cluster) if entry.set == found]
    common, *overrides = (_nodes(loaded, name, cluster, entry) for entry in entries)
    if not isinstance(found.nodes, NodesModel):
        return common
    return replace(
        common,
        group=group,
        count=found.nodes.count,
        overrides=tuple(
            (index, replace(nodes, group=group, machinefile=found.nodes.machinefile))
            for index, nodes in zip(found.nodes.overrides, overrides, strict=True)
        ),
        wait_for=tuple(dict.fromkeys(found.nodes.wait_for)),
        machinefile=found.nodes.machinefile,
    )


def _nodes(loaded: LoadedSpec, name: str, cluster: ClusterModel, entry: NodeEntry) -> WantedNodes:
    own = {path[1:]: document for path, document in loaded.user_data.items() if path[0] == name}
    document = complete_user_data(own, entry.set.path, entry.path)
    packages, nodes = entry.set.nodes.packages, entry.nodes
    if entry.nodes is not entry.set.nodes:
        packages, nodes = (*packages, *entry.nodes.packages), _overridden(entry)
    written = nodes.model_fields_set
    return WantedNodes(
        count=1,
        cpus=nodes.cpus if nodes.flavor is None or "cpus" in written else 0,
        memory_mib=nodes.memory_mib if nodes.flavor is None or "memory_mib" in written else 0,
        image=image_of(cluster, entry),
        disk_bytes=nodes.disk_bytes,
        flavor=nodes.flavor or "",
        packages=tuple(dict.fromkeys((*cluster.packages, *packages))),
        user_data=_text(document) if document else "",
        user_data_where=next(
            (loaded.where(("clusters", name, *path, "user_data")) for path in (entry.path, entry.set.path, ()) if path in own),
            None,
        ),
        readiness=_readiness(nodes.readiness) if nodes.readiness else None,
        where=loaded.where(("clusters", name, *entry.path)),
        disks=tuple(_disk(each, disk) for each, disk in nodes.disks.items()),
        cpu=nodes.cpu or cluster.cpu or "",
        devices=tuple(sorted(nodes.devices.items())),
        pin=cluster.pin if nodes.pin is None else nodes.pin,
        keys_where=tuple(_keys_where(loaded, name, cluster, entry)),
    )


def _keys_where(loaded: LoadedSpec, name: str, cluster: ClusterModel, entry: NodeEntry) -> Iterator[tuple[str, Where]]:
    """Yield the most specific place of each of these keys that is written."""
    levels = ((entry.path, entry.nodes), (entry.set.path, entry.set.nodes), ((), cluster))
    for key in ("flavor", "cpu", "devices", "pin"):
        path = next((path for path, model in levels if key in model.model_fields_set), None)
        if path is not None:
            yield key, loaded.where(("clusters", name, *path, key))


def _disk(name: str, disk: DiskModel) -> WantedDisk:
    return WantedDisk(
        name=name,
        size_bytes=disk.size_bytes,
        format=disk.format,
        mount=disk.mount or "",
        keep=disk.keep is not False,
        volume=disk.keep if isinstance(disk.keep, str) else "",
    )


def _overridden(entry: NodeEntry) -> RoleModel:
    """Return the settings of a node that differs: those of its set, except for the keys that it has itself."""
    own = {key: getattr(entry.nodes, key) for key in entry.nodes.model_fields_set}
    return entry.set.nodes.model_copy(update=own)


def _readiness(model: ReadinessModel) -> Readiness:
    return Readiness(when=model.when, timeout_s=-(-model.timeout_ms // 1000))


def _public(loaded: LoadedSpec, name: str, public: str) -> WantedPublic:
    where = loaded.where(("clusters", name, "public"))
    if public == "pool":
        return WantedPublic(where=where)
    if public == "none":
        return WantedPublic(kind="none", where=where)
    return WantedPublic(kind="address", address=public, where=where)


def _text(document: object) -> str:
    """Return a cloud-config document in canonical form: JSON, which all YAML parsers read alike."""
    return "#cloud-config\n" + json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1) + "\n"


def _small_disks(
    loaded: LoadedSpec, name: str, cluster: ClusterModel, images: Mapping[ImageUse, WantedImage]
) -> Iterator[Problem]:
    for entry in node_entries(cluster):
        image = images[_use(loaded, cluster, image_of(cluster, entry))]
        disk_bytes = entry.nodes.disk_bytes or entry.set.nodes.disk_bytes
        own = entry.nodes.disk_bytes is not None or entry.nodes.image is not None
        if own and disk_bytes is not None and disk_bytes < image.virtual_size_bytes:
            minimum = format_size(image.virtual_size_bytes)
            detail = f"Image `{image.name}` needs a disk of {minimum}. Write `disk: {minimum}` or more, or omit `disk`."
            at = entry.path if entry.nodes.disk_bytes is not None else entry.set.path
            yield loaded.problem(("clusters", name, *at, "disk"), "Disk too small", detail)


def _digest(loaded: LoadedSpec, images: Mapping[ImageUse, WantedImage]) -> str:
    """Return the digest of the contents of the files and images, independent of their location."""
    directory = loaded.directory.absolute()
    files = sorted(
        (path.relative_to(directory).as_posix() if path.is_relative_to(directory) else path.name, digest)
        for path, digest in ((Path(path), digest) for path, digest in loaded.files)
        if digest
    )
    pins = sorted((name, images[name, ""].digest) for name in images_needed(loaded))
    at_sites = sorted((name, site, images[name, site].digest) for name, site in site_images_needed(loaded))
    return sha256(json.dumps([files, pins, *([at_sites] if at_sites else [])]).encode()).hexdigest()
