"""Images that the hypervisor's host downloads by itself, from a server that everybody can ask, or from a neighbour.

The bytes are written into a volume beside the one that they shall become, and hashed on the way. They get their name only when
their digest is that of a disk which somebody's machine has inspected; so what a host is given by a server decides nothing.
"""

from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.net.urls import MAX_REDIRECTS
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.remote_shell import SSH_FAILED, RemoteResult, RemoteShell
from pragmaspec.providers.libvirt.volumes import SHARED, Sent, raw_xml
from pragmaspec.resources import Blob, Mark, StagedImage

LIMIT_S = 6 * 3600.0
NEIGHBOUR = "neighbour.invalid"
"""What every neighbour's certificate is made out to. No host is called so (RFC 2606)."""
NEIGHBOUR_CONNECT_S = 5
RETRY_S = 20
"""Less than SCRIPT's ``--speed-time``."""
NO_CURL, NO_ACCESS, OTHER_BYTES, NO_NAME = 71, 72, 73, 74

SCRIPT = r"""
coming=$1 final=$2 size=$3 digest=$4 format=$5
command -v curl >/dev/null 2>&1 || exit 71
[ -w "$coming" ] || exit 72
exec 3<&0
told() { while read -r line <&3 && [ -n "$line" ]; do printf '%s\n' "$line"; done; }
options=$(told)
trusted=$(told)
fetched() {
  curl -q --silent --show-error --fail --globoff --speed-limit 16384 --speed-time 25 --max-filesize "$size" --config - 3<&- \
    4<<TRUSTED <<OPTIONS
$trusted
TRUSTED
$options
OPTIONS
}
(read -r _ <&3; kill 0) >/dev/null 2>&1 &
watch=$!
found=$(fetched | tee "$coming" 3<&- | sha256sum 3<&-)
kill "$watch"
[ "${found%% *}" = "$digest" ] && [ "$(stat -c %s "$coming")" = "$size" ] || exit 73
[ "$format" != raw ] || fallocate --dig-holes "$coming" 2>/dev/null
sync "$coming" || exit 74
ln -T "$coming" "$final" || exit 74
"""
"""One pass over the bytes. Where they come from, and whom to trust for it, is read from standard input, so that no list of
processes shows it. When nobody listens any more, standard input ends, and everything here does."""

_WHY = {
    NO_CURL: "the host has no curl. Install it there",
    NO_ACCESS: "the account that logs in may not write into the storage pool. Log in as root, or let its group write there",
    NO_NAME: "the host could not give the file its name",
}


class DownloadSource(NamedTuple):
    """Where a part of an image is to be had.

    ``options`` are curl's (a value that is empty: a switch); ``trusted`` is the only certificate to trust (PEM; empty: those that
    the host trusts); ``server`` is for people.
    """

    part: str
    options: tuple[tuple[str, str], ...]
    trusted: str
    server: str

    @property
    def told(self) -> bytes:
        """What SCRIPT reads: two paragraphs, an empty line after each, and not a byte more, which it would take for the end."""
        options = "".join(f'{name} = "{_escaped(value)}"\n' if value else f"{name}\n" for name, value in self.options)
        trusted = f"{self.trusted.strip()}\n" if self.trusted else ""
        return f"{options}\n{trusted}\n".encode()


def public_source(copy: PublicCopy) -> DownloadSource:
    """The disk, from a server that everybody can ask. A secure one must not send the host on to one that is not.

    Another try is made only before bytes came, which the limit in time is for: they are hashed in one pass.
    """
    later = "=https" if copy.url.startswith("https:") else "=http,https"
    options = {
        "proto": "=http,https",
        "location": "",
        "proto-redir": later,
        "max-redirs": f"{MAX_REDIRECTS}",
        "connect-timeout": "15",
    }
    retries = {"retry": "2", "retry-delay": "1", "retry-connrefused": "", "retry-max-time": f"{RETRY_S}"}
    return DownloadSource("disk", (("url", copy.url), *options.items(), *retries.items()), "", copy.server)


def neighbour_source(offer: Offer, part: str, path: str) -> DownloadSource:
    """A part of what a neighbour offers. Its certificate, and not its name, says that it is the one."""
    address = f"[{offer.address}]" if ":" in offer.address else offer.address
    options = {
        "url": f"https://{NEIGHBOUR}{path}",
        "connect-to": f"::{address}:{offer.port}",
        "proto": "=https",
        "noproxy": "*",
        "connect-timeout": f"{NEIGHBOUR_CONNECT_S}",
        "cacert": "/dev/fd/4",
    }
    return DownloadSource(part, tuple(options.items()), offer.certificate, offer.address)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def fetch(host: Host, image: StagedImage, source: DownloadSource, mark: Mark, sent: Sent) -> str:
    """Have the host download a part of the image. Returns why it could not; empty when it is there, under its own name."""
    final = names.image_volumes(image)[source.part]
    coming = names.coming_volume(final, mark)
    blob: Blob = getattr(image, source.part)
    size = blob.size_bytes
    volumes.remove(host, coming)
    # Empty, so that its size tells a neighbour that hands it on how far it is.
    if volumes.make(host, raw_xml(coming, 0, SHARED)) is None:
        return "another run of this stack downloads it"
    reach("libvirt.image.fetch-begun")
    seen = 0

    def tick() -> None:
        nonlocal seen
        now = min(volumes.allocated_bytes(host, coming), size)
        sent(max(0, now - seen))
        seen = max(seen, now)

    try:
        kind = image.format if source.part == "disk" else ""
        arguments = (host.path(coming), host.path(final), str(size), blob.sha256, kind)
        ended = RemoteShell(host.site.uri).run(SCRIPT, arguments, LIMIT_S, tick, source.told)
        reach("libvirt.image.fetched")
    finally:
        volumes.remove(host, coming)
    if ended.status:
        return _why(ended, source)
    volumes.reread(host)  # libvirt has not seen the file get its name
    sent(size - seen)
    return ""


def cannot_fetch(host: Host, image: StagedImage, why: str) -> SiteError:
    """The error for a host that shall download and could not."""
    return SiteError(
        "The host could not download the image",
        f"Site {host.site.name} has `fetch: host`, and image {image.name} did not get there: {why}. With "
        "`fetch: auto` it is sent from here instead.",
    )


def not_passed_on(host: Host, image: StagedImage, why: str) -> SiteError:
    """The error for an image that a neighbour has and ``host`` did not get."""
    return SiteError(
        "The image was not passed on", f"Image {image.name} did not get to site {host.site.name} from its neighbour: {why}."
    )


def _why(ended: RemoteResult, source: DownloadSource) -> str:
    if ended.status == SSH_FAILED:
        return f"no command can be run on the host: {ended.complained or 'ssh failed'}"
    _, curl, words = ended.complained.rpartition("curl: ")
    if ended.status == OTHER_BYTES:
        said = f"did not give it to the host: curl: {words}" if curl else "gave the host other bytes than those of the image"
        return f"{source.server} {said}"
    return _WHY.get(ended.status, "the host's shell failed") + (f": {ended.complained}" if ended.complained else "")
