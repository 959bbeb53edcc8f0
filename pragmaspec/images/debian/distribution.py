"""What Debian and Ubuntu do differently, as far as an image is built from their packages.

Where packages come from: what the spec says, else what this machine's own apt uses.
"""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.debian import recipe

DistributionName = Literal["debian", "ubuntu"]


class Distribution(Frozen, frozen=True):
    """An archive of packages and what an image takes from it.

    ``mirror`` and ``keyring`` count where the spec says nothing; empty: what this machine's apt has. ``snapshots`` is the address
    of the archive's past, up to the date; ``own_security``: security updates have an archive of their own. ``quick``: cloud-init
    is started in the way of :mod:`pragmaspec.images.debian.recipe`, which goes with Debian's version of it.
    """

    name: DistributionName
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
DISTRIBUTIONS: dict[DistributionName, Distribution] = {"debian": DEBIAN, "ubuntu": UBUNTU}


def find_keyring(distribution: Distribution, keyring: str) -> Path | None:
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
        raise ImageError("Keyring missing", detail.rstrip())
    return Path(chosen)


POCKETS = ("", "-updates", "-security")
FORWARDED_APT_SETTINGS = (
    "acquire::http",
    "acquire::https",
    "acquire::ftp",
    "acquire::check-",
    "acquire::retries",
    "acquire::forceipv",
)
"""Settings of this machine's apt that its mirrors may need: proxies, time-outs, certificates."""


def source_lines(suite: str, mirror: str | None, snapshot: str | None, distribution: Distribution = DEBIAN) -> tuple[str, ...]:
    """Lines of ``sources.list`` for ``suite``; none at all when only mmdebstrap's own default is left.

    ``snapshot`` (``20261101T000000Z``) is a moment of ``mirror``, the address of a snapshot archive up to, not including, the
    date; Ubuntu's own is known. Raises ImageError when it is missing.
    """
    components = distribution.components
    if snapshot:
        base = (mirror or distribution.snapshots).rstrip("/")
        if not base:
            raise ImageError(
                "Mirror missing",
                "`snapshot` needs `mirror` too: the address of a snapshot archive up to the date, ending in /archive/debian.",
            )
        security = base.removesuffix("/debian") + "/debian-security" if distribution.own_security else base
        where = {"": base, "-updates": base, "-security": security}
        return tuple(f"deb [check-valid-until=no] {where[pocket]}/{snapshot}/ {suite}{pocket} {components}" for pocket in POCKETS)
    if mirror or distribution.mirror:
        # The mirrors of Debian have no security updates; those of Ubuntu have.
        pockets = POCKETS[:2] if distribution.own_security else POCKETS
        return tuple(f"deb {mirror or distribution.mirror} {suite}{pocket} {components}" for pocket in pockets)
    listed = _output("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(COMPONENT)", "Created-By: Packages")
    return lines_for_suite(suite, listed.splitlines())


def lines_for_suite(suite: str, listed: Iterable[str]) -> tuple[str, ...]:
    """The lines of ``apt-get indextargets`` ("release address component") that belong to ``suite``, as ``sources.list`` lines."""
    wanted = {f"{suite}{pocket}": number for number, pocket in enumerate(POCKETS)}
    found = {}
    for line in listed:
        release, _, rest = line.partition(" ")
        address, _, component = rest.rpartition(" ")
        if release in wanted and component == "main":
            found[wanted[release]] = f"deb {address} {release} main"
    return tuple(found[number] for number in sorted(found)) if 0 in found else ()


def apt_options() -> tuple[str, ...]:
    """This machine's apt settings that decide how mirrors are reached, as lines of ``apt.conf``. May hold a proxy's password."""
    dumped = _output("apt-config", "dump", "--no-empty", "--format", '%F "%v";%n')
    return tuple(line for line in dumped.splitlines() if line.lower().startswith(FORWARDED_APT_SETTINGS))


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
