"""The hypervisor host of a site: connection, storage pool, and platform of its guests."""

from functools import cached_property
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import Problem, SiteError
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.providers.libvirt.connection import Connection
from pragmaspec.providers.libvirt.domains.kvm_cache import cached_result
from pragmaspec.providers.libvirt.domains.processor import VirtType
from pragmaspec.providers.libvirt.domains.xml import GuestPlatform
from pragmaspec.providers.libvirt.storage_pool import active_pool
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.site import LibvirtSite

FILE_POOLS = ("dir", "fs", "netfs")
"""Types of pools whose volumes are files of one directory, so that overlays, logs and explicit backing chains are possible."""
_TITLE_SUFFIXES = {"kvm": "", "qemu": ", emulated", "test": ", in-process test driver"}


class Host:
    """One hypervisor host. Facts that do not change while the daemon runs are queried once."""

    def __init__(self, site: LibvirtSite) -> None:
        self.site = site
        self.connection = Connection(site.uri, self.title)
        self.firmware_runs = False
        """True if the KVM probe has seen firmware run with KVM since this was created."""
        self.kvm_stops: bool | None = None
        """True if KVM stopped a machine that had just been started; None before the first was watched."""
        self.warnings: tuple[Problem, ...] = ()
        """Warnings about the host, such as a pool that had to be started."""
        self._pool_is_active = False
        self.backing_volumes: dict[str, str] = {}
        """Cache: by the name of a foreign volume, its backing volume in the pool; empty: none."""
        self.domain_files: dict[str, frozenset[str]] = {}
        """Cache: by the UUID of a node's domain, all files of its disks."""
        self.processors: dict[VirtType, tuple[str, ...]] = {}
        """Cache: the processors that machines of a type may have, see :mod:`.domains.offered_processors`."""

    @property
    def title(self) -> str:
        """The name of the site in errors."""
        return f"site {self.site.name} ({self.site.uri})"

    @property
    def is_local(self) -> bool:
        """True if the daemon runs on this machine, judging by its URI."""
        scheme, _, rest = self.site.uri.partition("://")
        return not self.connection.is_test_driver and rest.startswith("/") and scheme.partition("+")[2] in ("", "unix")

    def handle(self) -> libvirt.virConnect:
        """The open connection."""
        return self.connection.handle()

    def pool(self) -> libvirt.virStoragePool:
        """The site's storage pool, started if necessary. Raises SiteError with the remedy when it cannot be used.

        Its state is queried once: if it is stopped later, the next call that uses it fails.
        """
        if not self._pool_is_active:
            active = active_pool(self.handle(), self.site, self._pool_name)
            self._pool_is_active = True
            self.warnings += (active.warning,) if active.warning else ()
            return active.handle
        return self.handle().storagePoolLookupByName(self._pool_name)

    @property
    def _pool_name(self) -> str:
        # The test driver has one pool of this name.
        return "default-pool" if self.connection.is_test_driver and self.site.pool == "default" else self.site.pool

    @cached_property
    def _pool_facts(self) -> tuple[str, str]:
        root = parse(self.pool().XMLDesc(0))
        kind, path = root.get("type", ""), root.findtext("target/path", "")
        if kind not in FILE_POOLS:
            raise SiteError(
                "The storage pool has the wrong type",
                f"Pool {self.site.pool} of site {self.site.name} is of type {kind}. Use a pool of files: "
                f"{', '.join(FILE_POOLS)}.",
            )
        return root.findtext("uuid", ""), path

    def path(self, volume: str) -> str:
        """Absolute path, at the site, of a volume in the pool."""
        return f"{self._pool_facts[1]}/{volume}"

    @cached_property
    def capabilities(self) -> Element:
        """The capabilities of the host and of its hypervisor."""
        return parse(self.handle().getCapabilities())

    @cached_property
    def _guests(self) -> tuple[str, tuple[str, ...]]:
        """The guest architecture, and the domain types that libvirt's capabilities offer for it."""
        root = self.capabilities
        own = root.findtext("host/cpu/arch", "x86_64")
        for guest in root.findall("guest"):
            arch = guest.find("arch")
            if arch is not None and arch.get("name") == own and guest.findtext("os_type") == "hvm":
                return own, tuple(domain.get("type", "") for domain in arch.findall("domain"))
        raise SiteError(
            "The host runs no guests",
            f"The libvirt daemon of site {self.site.name} ({self.site.uri}) has no hypervisor for {own} machines. "
            "Install QEMU on the host (Debian: qemu-system-x86) and restart its daemon.",
        )

    @property
    def offers_kvm(self) -> bool:
        """True if libvirt offers KVM, which does not imply that it works: see :mod:`.domains.kvm_probe`."""
        return "kvm" in self._guests[1]

    @property
    def known_virt_type(self) -> VirtType | None:
        """The domain type of guests: that of the site's options, or as last probed; None before the first probe."""
        if self.connection.is_test_driver:
            return "test"
        if self.site.virt_type is not None:
            return self.site.virt_type
        if not self.offers_kvm or self.kvm_stops:
            return "qemu"
        result = cached_result(self._pool_facts[0])
        return "kvm" if result == "watched" else result

    @property
    def virt_type(self) -> VirtType:
        """The domain type of guests, as far as known without starting one; else what libvirt offers."""
        return self.known_virt_type or "kvm"

    @property
    def directory(self) -> str:
        """The pool's directory at the site."""
        return self._pool_facts[1]

    def platform(self) -> GuestPlatform:
        """The platform of new domains."""
        arch = self._guests[0]
        virt_type = self.virt_type
        board = "q35" if arch == "x86_64" and virt_type != "test" else None
        models = {model.text for model in self.capabilities.findall("host/secmodel/model")}
        return GuestPlatform(virt_type=virt_type, arch=arch, board=board, dac="dac" in models)

    def identity(self) -> SiteIdentity:
        """The site's identity.

        The id is the storage pool's UUID: the pool holds all data, and its UUID is stored on disk, while the host UUID that
        libvirt reports is random at every start of the daemon on machines without SMBIOS (containers, micro VMs).
        """
        self.handle().getLibVersion()  # The facts may be cached; this call fails if the daemon is gone.
        uuid = self._pool_facts[0]
        virt_type = self.virt_type
        return SiteIdentity(
            id=uuid,
            title=f"libvirt, {self.site.uri}{_TITLE_SUFFIXES[virt_type]}",
            virt_type=virt_type,
            arch=self._guests[0],
        )
