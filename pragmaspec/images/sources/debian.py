"""Images built from Debian or Ubuntu packages on this machine, reproducibly: equal packages yield equal bytes."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.debian import recipe
from pragmaspec.images.debian.bootstrap import BootstrapRequest, bootstrap, check_tools, privileges, search_path
from pragmaspec.images.debian.disk import BuiltImage, build_disk
from pragmaspec.images.debian.distribution import DISTRIBUTIONS, DistributionName, find_keyring, source_lines

BUILD_SPACE_BYTES = 4 * 2**30
"""Archive, tree and disk exist at the same time during a build."""


class DebianSource(Frozen, frozen=True, tag_field="kind", tag="debian"):
    """A ``suite`` of a distribution, with ``packages`` in addition to those of every image (:mod:`..debian.recipe`)."""

    suite: str
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    snapshot: str | None = None
    distribution: DistributionName = "debian"
    keyring: str = ""
    """The file with the archive's keys; empty for the distribution's own."""

    def origin(self) -> str:
        """Distribution, suite and date of the snapshot."""
        snapshot = f" of {self.snapshot[:4]}-{self.snapshot[4:6]}-{self.snapshot[6:8]}" if self.snapshot else ""
        return f"built from {DISTRIBUTIONS[self.distribution].title} {self.suite} packages{snapshot}"

    def described(self) -> str:
        """A digest of the spec's description: the result depends on the day, so it is locked."""
        lines = (self.suite, *sorted(set(self.packages)), f"mirror {self.mirror}", f"snapshot {self.snapshot}")
        return sha256("\n".join((self.distribution, *lines)).encode()).hexdigest()[:16]

    def find(self, context: ImageContext) -> VerifiedImage:
        """Build the image. Takes minutes, several hundred MiB of downloads, and 4 GiB of free space. Raises ImageError."""
        search, store, name = search_path(), context.store, f"{self.distribution}-{self.described()}"
        check_tools(search)
        mode, prefix = privileges(search)
        distribution = DISTRIBUTIONS[self.distribution]
        request = BootstrapRequest(
            suite=self.suite,
            packages=(*distribution.packages, *sorted(set(self.packages) - set(distribution.packages))),
            sources=source_lines(self.suite, self.mirror, self.snapshot, distribution),
            mode=mode,
            keyring=find_keyring(distribution, self.keyring),
        )
        with store.locked(name):
            store.check_space(BUILD_SPACE_BYTES, context.image)
            with store.scratch(name) as scratch:
                archive = scratch / "system.tar"
                bootstrap(archive, request, context.step)
                return _publish(build_disk(archive, scratch, prefix, context.step, distribution), context)


def _publish(built: BuiltImage, context: ImageContext) -> VerifiedImage:
    """Move the built files into the store."""
    store = context.store
    context.step("moving it into the store")
    listing = built.disk.with_name("packages.txt")
    listing.write_text("".join(f"{line}\n" for line in built.packages), encoding="utf-8")
    return VerifiedImage(
        format="qcow2",
        virtual_size_bytes=recipe.VIRTUAL_SIZE_BYTES,
        disk=store.adopt(built.disk),
        kernel=store.adopt(built.kernel),
        initrd=store.adopt(built.initrd),
        cmdline=recipe.CMDLINE,
        packages=store.adopt(listing).sha256,
    )
