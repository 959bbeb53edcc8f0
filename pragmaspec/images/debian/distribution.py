"""What Debian and Ubuntu do differently, as far as an image is built from their packages."""

import os
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.debian import recipe

Name = Literal["debian", "ubuntu"]


class Distribution(Frozen, frozen=True):
    """An archive of packages and what an image takes from it.

    ``mirror`` and ``keyring`` count where the spec says nothing; empty: what this machine's apt has. ``snapshots`` is the address
    of the archive's past, up to the date; ``own_security``: security updates have an archive of their own. ``quick``: cloud-init
    is started in the way of :mod:`pragmaspec.images.debian.recipe`, which goes with Debian's version of it.
    """

    name: Name
    title: str
    packages: tuple[str, ...]
    components: str = "main"
    mirror: str = ""
    snapshots: str = ""
    own_security: bool = False
    keyring: str = ""
    quick: bool = True


DEBIAN = Distribution(name="debian", title="Debian", packages=recipe.PACKAGES, own_security=True)
UBUNTU = Distribution(
    name="ubuntu",
    title="Ubuntu",
    # Universe is needed for the people's packages, not for these.
    components="main universe",
    # libnss-resolve brings systemd-resolved, in whichever package a release has it.
    packages=(*(name.replace(recipe.KERNEL_PACKAGE, "linux-image-virtual") for name in recipe.PACKAGES), "libnss-resolve"),
    mirror="http://archive.ubuntu.com/ubuntu",
    snapshots="https://snapshot.ubuntu.com/ubuntu",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    quick=False,
)
KNOWN: dict[Name, Distribution] = {"debian": DEBIAN, "ubuntu": UBUNTU}


def keyring_of(distribution: Distribution, keyring: str) -> Path | None:
    """The file with the archive's keys: what the spec names, else the distribution's; None: what this machine's apt trusts.

    Raises ImageError when it is not there.
    """
    chosen = keyring or distribution.keyring
    if not chosen:
        return None
    if not (Path(chosen).is_file() and os.access(chosen, os.R_OK)):
        detail = (
            f"The keys of {distribution.title}'s archive should be in {chosen}, which cannot be read. Without them nobody "
            "can tell whose packages they are. "
        )
        if not keyring:
            detail += (
                f"Install the package {distribution.name}-keyring where your system has one, or take that file from an "
                f"{distribution.title} system that you trust, and write `keyring:` with its path."
            )
        raise ImageError(Problem(summary="Keyring missing", detail=detail.rstrip()))
    return Path(chosen)
