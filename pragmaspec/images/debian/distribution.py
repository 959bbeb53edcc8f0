"""Differences between Debian and Ubuntu that matter for building an image, and the package sources of a build.

The package sources are those in the spec, else those of this machine's own apt.
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
    """A package archive, and the packages of an image.

    ``mirror`` and ``keyring`` are defaults for the spec; empty for those of this machine's apt. ``snapshots`` is the URL of the
    snapshot archive, up to the date. ``own_security``: security updates are in a separate archive. ``quick``: start cloud-init as
    in :mod:`pragmaspec.images.debian.recipe`, which requires Debian's version of it.
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
    # universe is for the packages in specs, not for these.
    components="main universe",
    # libnss-resolve depends on systemd-resolved, whose package differs between releases.
    packages=(*(name.replace(recipe.KERNEL_PACKAGE, "linux-image-virtual") for name in recipe.PACKAGES), "libnss-resolve"),
    mirror="http://archive.ubuntu.com/ubuntu",
    snapshots="https://snapshot.ubuntu.com/ubuntu",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    quick=False,
)
DISTRIBUTIONS: dict[DistributionName, Distribution] = {"debian": DEBIAN, "ubuntu": UBUNTU}


def find_keyring(distribution: Distribution, keyring: str) -> Path | None:
    """Return the file with the archive's keys: ``keyring``, else the distribution's; None for the keys that apt here trusts.

    Raises ImageError if it cannot be read.
    """
    chosen = keyring or distribution.keyring
    if not chosen:
        return None
    if not (Path(chosen).is_file() and os.access(chosen, os.R_OK)):
        detail = (
            f"The keys of {distribution.title}'s archive are expected in {chosen}, which cannot be read. They are required to "
            "verify the packages. "
        )
        if not keyring:
            detail += (
                f"Install the package {distribution.name}-keyring if your system has it, or copy the file from a trusted "
                f"{distribution.title} system, and write its path as `keyring:`."
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
"""Prefixes of settings of this machine's apt that its mirrors may require: proxies, timeouts, certificates."""


def source_lines(suite: str, mirror: str | None, snapshot: str | None, distribution: Distribution = DEBIAN) -> tuple[str, ...]:
    """Return the lines of ``sources.list`` for ``suite``; none if mmdebstrap's default has to be used.

    ``snapshot`` (``20261101T000000Z``) is a time in ``mirror``, the URL of a snapshot archive up to the date; Ubuntu has its own.
    Raises ImageError if it is missing.
    """
    components = distribution.components
    if snapshot:
        base = (mirror or distribution.snapshots).rstrip("/")
        if not base:
            raise ImageError(
                "Mirror missing",
                "`snapshot` also requires `mirror`: the URL of a snapshot archive up to the date, ending in /archive/debian.",
            )
        security = base.removesuffix("/debian") + "/debian-security" if distribution.own_security else base
        where = {"": base, "-updates": base, "-security": security}
        return tuple(f"deb [check-valid-until=no] {where[pocket]}/{snapshot}/ {suite}{pocket} {components}" for pocket in POCKETS)
    if mirror or distribution.mirror:
        # Mirrors of Debian have no security updates; those of Ubuntu do.
        pockets = POCKETS[:2] if distribution.own_security else POCKETS
        return tuple(f"deb {mirror or distribution.mirror} {suite}{pocket} {components}" for pocket in pockets)
    listed = _output("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(COMPONENT)", "Created-By: Packages")
    return lines_for_suite(suite, listed.splitlines())


def lines_for_suite(suite: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the ``sources.list`` lines of ``suite``, from ``apt-get indextargets`` lines "release URL component"."""
    order = {f"{suite}{pocket}": number for number, pocket in enumerate(POCKETS)}
    lines = {}
    for line in listed:
        release, _, rest = line.partition(" ")
        url, _, component = rest.rpartition(" ")
        if release in order and component == "main":
            lines[order[release]] = f"deb {url} {release} main"
    return tuple(lines[number] for number in sorted(lines)) if 0 in lines else ()


def apt_options() -> tuple[str, ...]:
    """Return the settings of this machine's apt for access to mirrors, as ``apt.conf`` lines; may contain a proxy's password."""
    dumped = _output("apt-config", "dump", "--no-empty", "--format", '%F "%v";%n')
    return tuple(line for line in dumped.splitlines() if line.lower().startswith(FORWARDED_APT_SETTINGS))


def _output(*argv: str) -> str:
    try:
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""
