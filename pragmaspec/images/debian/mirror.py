"""Where packages come from: what the spec says, else what this machine's own apt uses."""

import subprocess
from collections.abc import Iterable

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.debian.distribution import DEBIAN, Distribution

POCKETS = ("", "-updates", "-security")
PASSED_ON = ("acquire::http", "acquire::https", "acquire::ftp", "acquire::check-", "acquire::retries", "acquire::forceipv")
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
                Problem(
                    summary="Mirror missing",
                    detail="`snapshot` needs `mirror` too: the address of a snapshot archive up to the date, ending in "
                    "/archive/debian.",
                )
            )
        security = base.removesuffix("/debian") + "/debian-security" if distribution.own_security else base
        where = {"": base, "-updates": base, "-security": security}
        return tuple(f"deb [check-valid-until=no] {where[pocket]}/{snapshot}/ {suite}{pocket} {components}" for pocket in POCKETS)
    if mirror or distribution.mirror:
        # The mirrors of Debian have no security updates; those of Ubuntu have.
        pockets = POCKETS[:2] if distribution.own_security else POCKETS
        return tuple(f"deb {mirror or distribution.mirror} {suite}{pocket} {components}" for pocket in pockets)
    listed = _output("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(COMPONENT)", "Created-By: Packages")
    return of_suite(suite, listed.splitlines())


def of_suite(suite: str, listed: Iterable[str]) -> tuple[str, ...]:
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
    return tuple(line for line in dumped.splitlines() if line.lower().startswith(PASSED_ON))


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
