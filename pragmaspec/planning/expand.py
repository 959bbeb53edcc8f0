"""Expands a loaded spec into plain values with every default filled in. Pure: the loader has read every file."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import Problem, SpecError
from pragmaspec.planning.expand_sites import wanted_site
from pragmaspec.planning.wanted import Move, Wanted, WantedCluster, WantedImage, WantedNetwork, WantedNodes, WantedPublic
from pragmaspec.resources import Blob, Readiness
from pragmaspec.spec.fields.user_data import merged
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.models.cluster import ClusterModel, ComputesModel, FrontendModel
from pragmaspec.spec.quantity import format_size


def images_needed(loaded: LoadedSpec) -> tuple[str, ...]:
    """Return the names of the images to resolve before expanding: those that a needed cluster boots, in spec order."""
    used = {image for name, cluster in loaded.model.clusters.items() if loaded.needs(name) for image in _images_of(cluster)}
    return tuple(name for name in loaded.model.images if name in used)


def images_named(loaded: LoadedSpec) -> tuple[str, ...]:
    """Return the names of the images that any cluster boots, in spec order."""
    used = {image for cluster in loaded.model.clusters.values() for image in _images_of(cluster)}
    return tuple(name for name in loaded.model.images if name in used)


def placeholder_image(name: str) -> WantedImage:
    """Return a stand-in with an empty digest for an image of which only the name is known."""
    return WantedImage(name=name, origin="", digest="", format="raw", disk=Blob(sha256="", size_bytes=0), virtual_size_bytes=0)


def expand(loaded: LoadedSpec, images: Mapping[str, WantedImage]) -> Wanted:
    """Return the expanded spec. ``images`` contains at least :func:`images_needed`.

    Raises SpecError if a disk is smaller than its image.
    """
    known = frozenset(images)
    images = {**{name: placeholder_image(name) for name in images_named(loaded)}, **images}
    clusters = tuple(_cluster(loaded, name, cluster, known) for name, cluster in loaded.model.clusters.items())
    problems = [problem for each in clusters if loaded.needs(each.name) for problem in _small_disks(loaded, each, images)]
    if problems:
        raise SpecError.of(problems)
    used = {cluster.site for cluster in clusters}
    written = {name for name, document in loaded.site_documents.items() if document is loaded.document}
    return Wanted(
        spec_file=loaded.file,
        spec_sha256=_digest(loaded, images),
        sites=tuple(wanted_site(loaded, name) for name in sorted(used | written)),
        images=tuple(
            replace(image, where=image.where or loaded.where(("images", image.name)))
            for image in sorted(images.values(), key=lambda image: image.name)
        ),
        clusters=clusters,
        moves=tuple(
            Move(before=move.before, after=move.after, kind=move.kind, where=loaded.where(("moved", position)))
            for position, move in enumerate(loaded.model.moved)
        ),
        warnings=loaded.warnings,
        need=None if loaded.need is None else tuple(sorted(loaded.need)),
    )


def _cluster(loaded: LoadedSpec, name: str, cluster: ClusterModel, known: frozenset[str]) -> WantedCluster:
    at = ("clusters", name)
    unknown = loaded.unread.get(name, ())
    if not loaded.needs(name):
        # The firmware of a disk is detected by reading it.
        unknown = (*unknown, "firmware", *(() if known.issuperset(_images_of(cluster)) else ("image",)))
    return WantedCluster(
        name=name,
        site=cluster.site,
        frontend=_nodes(loaded, name, cluster, cluster.frontend),
        computes=_nodes(loaded, name, cluster, cluster.computes),
        ssh_keys=loaded.ssh_keys.get(name, ()),
        public=_public(loaded, name, cluster.public),
        cidr=cluster.private.range,
        vlan=cluster.private.vlan,
        mtu=cluster.private.mtu,
        networks=tuple(
            WantedNetwork(
                name=network_name,
                cidr=network.range,
                bridge=network.bridge,
                roles=network.roles,
                mtu=network.mtu,
                where=loaded.where((*at, "networks", network_name)),
            )
            for network_name, network in cluster.networks.items()
        ),
        readiness=Readiness(when=cluster.readiness.when, timeout_s=-(-cluster.readiness.timeout_ms // 1000)),
        protect=cluster.protect,
        autostart=cluster.autostart,
        running=cluster.state == "running",
        domain=cluster.private.domain,
        unknown=unknown,
        where=loaded.where(at),
    )


def _nodes(loaded: LoadedSpec, name: str, cluster: ClusterModel, nodes: FrontendModel | ComputesModel) -> WantedNodes:
    role = "computes" if isinstance(nodes, ComputesModel) else "frontend"
    document = merged(loaded.user_data.get((name,), {}), loaded.user_data.get((name, role), {}))
    return WantedNodes(
        count=nodes.count if isinstance(nodes, ComputesModel) else 1,
        cpus=nodes.cpus,
        memory_mib=nodes.memory_mib,
        image=_image_of(cluster, nodes),
        disk_bytes=nodes.disk_bytes,
        packages=tuple(dict.fromkeys((*cluster.packages, *nodes.packages))),
        user_data=_text(document) if document else "",
        after_frontend=isinstance(nodes, ComputesModel) and nodes.wait_for == "frontend",
        where=loaded.where(("clusters", name, role)),
    )


def _image_of(cluster: ClusterModel, nodes: FrontendModel | ComputesModel) -> str:
    """Return the name of the image; a role with zero computes and no image has the frontend's."""
    return nodes.image or cluster.image or cluster.frontend.image or ""


def _images_of(cluster: ClusterModel) -> tuple[str, str]:
    return _image_of(cluster, cluster.frontend), _image_of(cluster, cluster.computes)


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


def _small_disks(loaded: LoadedSpec, cluster: WantedCluster, images: Mapping[str, WantedImage]) -> list[Problem]:
    found = []
    for role, nodes in (("frontend", cluster.frontend), ("computes", cluster.computes)):
        image = images[nodes.image]
        if nodes.disk_bytes is not None and nodes.disk_bytes < image.virtual_size_bytes:
            minimum = format_size(image.virtual_size_bytes)
            detail = f"Image `{image.name}` needs a disk of {minimum}. Write `disk: {minimum}` or more, or omit `disk`."
            found.append(loaded.problem(("clusters", cluster.name, role, "disk"), "Disk too small", detail))
    return found


def _digest(loaded: LoadedSpec, images: Mapping[str, WantedImage]) -> str:
    """Return the digest of the contents of the files and images, independent of their location."""
    directory = loaded.directory.absolute()
    files = sorted(
        (path.relative_to(directory).as_posix() if path.is_relative_to(directory) else path.name, digest)
        for path, digest in ((Path(path), digest) for path, digest in loaded.files)
        if digest
    )
    pins = sorted((name, images[name].digest) for name in images_needed(loaded))
    return sha256(json.dumps([files, pins]).encode()).hexdigest()
