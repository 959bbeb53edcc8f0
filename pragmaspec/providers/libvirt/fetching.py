"""Images that the hypervisor's host downloads by itself.

The bytes are written into a volume beside the one that they shall become, and hashed on the way. They get their name only when
their digest is that of a disk which somebody's machine has inspected; so what a host is given by a server decides nothing.
"""

from pragmaspec.errors import Problem, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.far_shell import SSH_FAILED, Ended, FarShell
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volume_xml import SHARED, raw_xml
from pragmaspec.providers.libvirt.volumes import Sent
from pragmaspec.recorded import Mark, StagedImage

LIMIT_S = 6 * 3600.0
NO_CURL, NO_ACCESS, OTHER_BYTES, NO_NAME = 71, 72, 73, 74

SCRIPT = r"""
url=$1 coming=$2 final=$3 size=$4 digest=$5 later=$6 format=$7
command -v curl >/dev/null 2>&1 || exit 71
[ -w "$coming" ] || exit 72
exec 3<&0
(read -r _ <&3; kill 0) >/dev/null 2>&1 &
watch=$!
found=$(curl -q --silent --show-error --fail --location --globoff --proto =http,https --proto-redir "$later" --max-redirs 8 \
  --connect-timeout 15 --speed-limit 16384 --speed-time 25 --max-filesize "$size" --url "$url" </dev/null 3<&- |
  tee "$coming" 3<&- | sha256sum 3<&-)
kill "$watch"
[ "${found%% *}" = "$digest" ] && [ "$(stat -c %s "$coming")" = "$size" ] || exit 73
[ "$format" != raw ] || fallocate --dig-holes "$coming" 2>/dev/null
sync "$coming" || exit 74
ln -T "$coming" "$final" || exit 74
"""
"""One pass over the bytes. When nobody listens any more, standard input ends, and everything here does."""

_WHY = {
    NO_CURL: "the host has no curl. Install it there",
    NO_ACCESS: "the account that logs in may not write into the storage pool. Log in as root, or let its group write there",
    NO_NAME: "the host could not give the file its name",
}


def fetch(host: Host, image: StagedImage, copy: PublicCopy, mark: Mark, sent: Sent) -> str:
    """Have the host download the image's disk. Returns why it could not; empty when the disk is there, under its own name."""
    final = names.image_volumes(image)["disk"]
    coming = names.coming_volume(final, mark)
    size = image.disk.size_bytes
    volumes.remove(host, coming)
    if volumes.make(host, raw_xml(coming, size, SHARED)) is None:
        return "another run of this stack downloads it"
    reach("libvirt.image.fetch-begun")
    seen = 0

    def tick() -> None:
        nonlocal seen
        now = min(volumes.allocated_bytes(host, coming), size)
        sent(max(0, now - seen))
        seen = max(seen, now)

    try:
        later = "=https" if copy.url.startswith("https:") else "=http,https"
        arguments = (copy.url, host.path(coming), host.path(final), str(size), image.disk.sha256, later, image.format)
        ended = FarShell(host.site.uri).run(SCRIPT, arguments, LIMIT_S, tick)
        reach("libvirt.image.fetched")
    finally:
        volumes.remove(host, coming)
    if ended.status:
        return _why(ended, copy)
    volumes.reread(host)  # libvirt has not seen the file get its name
    sent(size - seen)
    return ""


def cannot_fetch(host: Host, image: StagedImage, why: str) -> SiteError:
    """The error for a host that shall download and could not."""
    return SiteError(
        Problem(
            summary="The host could not download the image",
            detail=f"Site {host.site.name} has `fetch: host`, and image {image.name} did not get there: {why}. With "
            "`fetch: auto` it is sent from here instead.",
        )
    )


def _why(ended: Ended, copy: PublicCopy) -> str:
    if ended.status == SSH_FAILED:
        return f"no command can be run on the host: {ended.complained or 'ssh failed'}"
    _, curl, words = ended.complained.rpartition("curl: ")
    if ended.status == OTHER_BYTES:
        said = f"did not give it to the host: curl: {words}" if curl else "gave the host other bytes than those of the image"
        return f"{copy.server} {said}"
    return _WHY.get(ended.status, "the host's shell failed") + (f": {ended.complained}" if ended.complained else "")
