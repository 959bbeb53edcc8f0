"""The hypervisor host of a site, as the other modules see it: connection, storage pool, what kind of guests it runs."""

from functools import cached_property
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import Problem, SiteError
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.providers.libvirt.connection import Connection
from pragmaspec.providers.libvirt.domains.kvm_cache import recorded_verdict
from pragmaspec.providers.libvirt.domains.xml import GuestPlatform, VirtType
from pragmaspec.providers.libvirt.storage_pool import active_pool
from pragmaspec.providers.libvirt.xml import parsed
from pragmaspec.site import LibvirtSite

FILE_POOLS = ("dir", "fs", "netfs")
"""Kinds of pools whose volumes are files of one directory, so that overlays, logs and explicit backing chains are possible."""
EMULATED_TITLE = {"kvm": "", "qemu": ", emulated", "test": ", pretended for this command alone"}


class Host:
    """One hypervisor host. Facts that do not change while the daemon runs are asked once."""

    def __init__(self, site: LibvirtSite) -> None:
        self.site = site
        self.connection = Connection(site.uri, self.title)
        self.firmware_runs = False
        """Whether the probe of ``virt_type.py`` has seen firmware run with KVM since this was opened."""
        self.kvm_stops: bool | None = None
        """True if KVM stopped a machine that had just been started; None before the first was watched."""
        self.warnings: tuple[Problem, ...] = ()
        """Warnings about the host, such as a pool that had to be started."""
        self._pool_is_active = False
        self.stands_on: dict[str, str] = {}
        """By the name of a volume that is not ours, the one in the pool that it stands on; empty: none."""
        self.node_files: dict[str, frozenset[str]] = {}
        """By the UUID of a node's machine, all files that its disks consist of."""

    @property
    def title(self) -> str:
        """The site as an error names it."""
        return f"site {self.site.name} ({self.site.uri})"

    @property
    def is_here(self) -> bool:
        """Whether the daemon runs on this machine, as far as its URI tells."""
        scheme, _, rest = self.site.uri.partition("://")
        return not self.connection.is_pretended and rest.startswith("/") and scheme.partition("+")[2] in ("", "unix")

    def handle(self) -> libvirt.virConnect:
        """The open connection."""
        return self.connection.handle()

    def pool(self) -> libvirt.virStoragePool:
        """The site's storage pool, started if it was not. Raises SiteError with what to do when it cannot be used.

        Whether it is active is asked once: what stops it later is an error of the call that meets it.
        """
        if not self._pool_is_active:
            active = active_pool(self.handle(), self.site, self._pool_name)
            self._pool_is_active = True
            self.warnings += (active.warning,) if active.warning else ()
            return active.handle
        return self.handle().storagePoolLookupByName(self._pool_name)

    @property
    def _pool_name(self) -> str:
        # The test driver comes with one pool, called so.
        return "default-pool" if self.connection.is_pretended and self.site.pool == "default" else self.site.pool

    @cached_property
    def _pool_facts(self) -> tuple[str, str]:
        root = parsed(self.pool().XMLDesc(0))
        kind, path = root.get("type", ""), root.findtext("target/path", "")
        if kind not in FILE_POOLS:
            raise SiteError(
                "The storage pool is of the wrong kind",
                f"Pool {self.site.pool} of site {self.site.name} is of type {kind}. A pool of files is needed: "
                f"{', '.join(FILE_POOLS)}.",
            )
        return root.findtext("uuid", ""), path

    def path(self, volume: str) -> str:
        """Absolute path, at the site, of a volume in the pool."""
        return f"{self._pool_facts[1]}/{volume}"

    @cached_property
    def _capabilities(self) -> Element:
        return parsed(self.handle().getCapabilities())

    @cached_property
    def _guests(self) -> tuple[str, tuple[str, ...]]:
        """The guest architecture, and the domain types the host claims for it (libvirt's capabilities)."""
        root = self._capabilities
        own = root.findtext("host/cpu/arch", "x86_64")
        for guest in root.findall("guest"):
            arch = guest.find("arch")
            if arch is not None and arch.get("name") == own and guest.findtext("os_type") == "hvm":
                return own, tuple(domain.get("type", "") for domain in arch.findall("domain"))
        raise SiteError(
            "The host runs no guests",
            f"The libvirt daemon of site {self.site.name} ({self.site.uri}) knows no hypervisor for {own} machines. "
            "Install QEMU on the host (Debian: qemu-system-x86) and restart its daemon.",
        )

    @property
    def claims_kvm(self) -> bool:
        """Whether libvirt offers KVM; whether it works is another matter, see ``virt_type.py``."""
        return "kvm" in self._guests[1]

    @property
    def known_virt_type(self) -> VirtType | None:
        """The domain type of guests: as the site says, or as last probed; None before the first probe."""
        if self.connection.is_pretended:
            return "test"
        if self.site.virt_type is not None:
            return self.site.virt_type
        if not self.claims_kvm or self.kvm_stops:
            return "qemu"
        verdict = recorded_verdict(self._pool_facts[0])
        return "kvm" if verdict == "watched" else verdict

    @property
    def virt_type(self) -> VirtType:
        """The domain type of guests, as far as known without starting one; else as libvirt claims."""
        return self.known_virt_type or "kvm"

    @property
    def directory(self) -> str:
        """The pool's directory at the site."""
        return self._pool_facts[1]

    def machine(self) -> GuestPlatform:
        """The kind of machine that domains are made as."""
        arch = self._guests[0]
        virt_type = self.virt_type
        board = "q35" if arch == "x86_64" and virt_type != "test" else None
        models = {model.text for model in self._capabilities.findall("host/secmodel/model")}
        return GuestPlatform(virt_type=virt_type, arch=arch, board=board, dac="dac" in models)

    def identity(self) -> SiteIdentity:
        """Which site this is.

        The id is the storage pool's UUID: it is where all that matters lives, and it is kept on disk, while the UUID that libvirt
        gives its host is drawn anew at every start of the daemon on machines without SMBIOS (containers, micro VMs).
        """
        self.handle().getLibVersion()  # The facts may be remembered; this shows that somebody is there now.
        uuid = self._pool_facts[0]
        virt_type = self.virt_type
        return SiteIdentity(
            id=uuid,
            title=f"libvirt, {self.site.uri}{EMULATED_TITLE[virt_type]}",
            virt_type=virt_type,
            arch=self._guests[0],
        )
