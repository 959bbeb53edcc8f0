"""How a new node is told about itself and its cluster, which its site's provider declares. Plain values."""

from pragmaspec.frozen import Frozen


class Delivery(Frozen, frozen=True):
    """The ways in which a site can pass information to a new node. The engine uses the first of them that fits the image."""

    seed: bool = False
    """True if a machine can have a NoCloud seed, a small disk of any contents."""
    user_data_limit: int | None = None
    """Size of the largest user-data that a machine can have, in bytes before any encoding; None: a machine can have none."""
    files: bool = False
    """True if files can be written into a machine's disk before its first boot, as images without cloud-init need."""

    @property
    def limit(self) -> int | None:
        """Number of bytes to which everything for an image with cloud-init is limited; None: there is no limit."""
        return None if self.seed else self.user_data_limit

    def reaches(self, *, cloud_init: bool) -> bool:
        """True if the nodes of an image with or without cloud-init can be told anything."""
        return self.files if not cloud_init else self.seed or self.user_data_limit is not None


SEED_AND_FILES = Delivery(seed=True, files=True)
"""A hypervisor whose disks we write: the ways of all sites before providers declared theirs."""
