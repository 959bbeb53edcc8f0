"""Random specs, and random edits between two runs."""

from hashlib import sha256
from random import Random

from msgspec.structs import replace

from pragmaspec.planning.wanted import Move, Wanted, WantedCluster, WantedDisk, WantedImage, WantedNodes, WantedPublic
from pragmaspec.resources import Blob, Readiness
from pragmaspec.site import Site

NAMES = ("alpha", "beta", "gamma")
MAX_CLUSTERS = 2


def image(version: int) -> WantedImage:
    digest = sha256(f"image {version}".encode()).hexdigest()
    blob = Blob(sha256=digest, size_bytes=2**20)
    return WantedImage(name="debian", origin="test", digest=digest, format="qcow2", disk=blob, virtual_size_bytes=2**21)


IMAGES = (image(1), image(2))
QUICK = Readiness(timeout_s=5)


class SpecEditor:
    """Edits one spec.

    ``moves``: a rename may have an entry in ``moved:``. ``volume``: name of the kept disk of each node.
    ``host_parts``: some nodes want devices and CPUs of hosts, as their sizes and numbers decide.
    """

    def __init__(self, random: Random, sites: tuple[Site, ...], *, moves: bool, volume: str, host_parts: bool) -> None:
        self._host_parts = host_parts
        self._volume = volume
        self._may_move = moves
        self._random = random
        self._sites = sites
        self._clusters: dict[str, WantedCluster] = {}
        self._image = IMAGES[0]
        self._moves: list[Move] = []
        self._edits = 0
        self._largest = 2**20
        """Size of the largest volume so far, so that one that is found again always grows."""
        self.edit()
        self._add()

    def wanted(self) -> Wanted:
        return Wanted(
            spec_file="cluster.yaml",
            spec_sha256=f"{self._edits:064x}",
            sites=self._sites,
            images=(self._image,),
            clusters=tuple(self._with_host_parts(self._reachable(cluster)) for cluster in self._clusters.values()),
            moves=tuple(self._moves),
        )

    def _reachable(self, cluster: WantedCluster) -> WantedCluster:
        """Return ``cluster`` with a public address where nodes get a part of what they need over ssh."""
        limited = any(site.delivery.limit is not None for site in self._sites)
        return replace(cluster, public=WantedPublic()) if limited else cluster

    def _with_host_parts(self, cluster: WantedCluster) -> WantedCluster:
        if not self._host_parts:
            return cluster
        groups = tuple(self._with_parts(each, gpus=1 if each.group == "gpu" else 0) for each in cluster.groups)
        return replace(cluster, computes=self._with_parts(cluster.computes), groups=groups)

    def _with_parts(self, nodes: WantedNodes, gpus: int = 0) -> WantedNodes:
        devices = (("gpu", gpus),) if gpus else ()
        devices += (("nic", 2),) if nodes.count == 2 else ()
        overrides = tuple((index, replace(each, devices=(("gpu", 2),), pin=True)) for index, each in nodes.overrides)
        return replace(nodes, devices=devices, pin=nodes.cpus == 2, overrides=overrides)

    def edit(self) -> None:
        """Make one random edit."""
        self._edits += 1
        edits = (self._add, self._remove, self._resize, self._scale, self._switch, self._update, self._rename, self._group)
        edits += (self._disks,)
        self._random.choice(edits if self._clusters else (self._add,))()

    def _add(self) -> None:
        free = [
            name for name in NAMES if name not in self._clusters and not any(name in (m.before, m.after) for m in self._moves)
        ]
        if not free or len(self._clusters) >= MAX_CLUSTERS:
            return
        name = self._random.choice(free)
        nodes = WantedNodes(count=1, cpus=1, memory_mib=512, image="debian")
        self._clusters[name] = WantedCluster(
            name=name,
            site=self._random.choice(self._sites).name,
            frontend=nodes,
            computes=replace(nodes, count=self._random.randint(0, 3)),
            public=WantedPublic(kind=self._random.choice(("pool", "none"))),
            ssh_keys=("ssh-ed25519 AAAA ada",),
            readiness=QUICK,
        )

    def _remove(self) -> None:
        del self._clusters[self._any_cluster()]

    def _resize(self) -> None:
        name = self._any_cluster()
        self._change(name, computes=replace(self._clusters[name].computes, cpus=self._random.randint(1, 3)))

    def _scale(self) -> None:
        name = self._any_cluster()
        self._change(name, computes=replace(self._clusters[name].computes, count=self._random.randint(0, 3)))

    def _switch(self) -> None:
        name = self._any_cluster()
        self._change(name, running=not self._clusters[name].running)

    def _update(self) -> None:
        self._image = self._random.choice(IMAGES)

    def _group(self) -> None:
        """Add, change or remove a group of nodes."""
        name, group = self._any_cluster(), self._random.choice(("gpu", "store"))
        others = tuple(each for each in self._clusters[name].groups if each.group != group)
        count = self._random.randint(0, 2)
        other = WantedNodes(count=1, cpus=3, memory_mib=512, image="debian", group=group)
        added = WantedNodes(
            count=count,
            cpus=self._random.randint(1, 2),
            memory_mib=512,
            image="debian",
            group=group,
            machinefile=self._random.random() < 0.5,
            wait_for=self._random.choice(((), ("frontend",), ("frontend", "compute"))),
            overrides=((1, other),) if self._random.random() < 0.3 else (),
        )
        self._change(name, groups=(*others, added) if count else others)

    def _disks(self) -> None:
        """Add, grow, shrink or remove a disk, or a volume, which never becomes smaller."""
        name = self._any_cluster()
        role = self._random.choice(("frontend", "computes"))
        nodes = getattr(self._clusters[name], role)
        disks = {disk.name: disk for disk in nodes.disks}
        key = self._random.choice(("scratch", self._volume))
        if key in disks and self._random.random() < 0.4:
            del disks[key]
        else:
            self._largest += 2**20
            keep = key == self._volume
            size_bytes = self._largest if keep else self._random.randint(1, 3) * 2**20
            disks[key] = WantedDisk(name=key, size_bytes=size_bytes, mount=f"/{key}", keep=keep)
        self._change(name, **{role: replace(nodes, disks=tuple(disks.values()))})

    def _rename(self) -> None:
        """Rename a cluster, with or without an entry in ``moved:``."""
        old, new = self._any_cluster(), f"delta-{self._edits}"  # an unused name; another would make the spec invalid
        cluster = self._clusters.pop(old)
        self._clusters[new] = replace(cluster, name=new)
        if self._random.random() < 0.5 and self._may_move:
            self._moves.append(Move(before=old, after=new))

    def _any_cluster(self) -> str:
        return self._random.choice(sorted(self._clusters))

    def _change(self, name: str, **fields: object) -> None:
        self._clusters[name] = replace(self._clusters[name], **fields)
