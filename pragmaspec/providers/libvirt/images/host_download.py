"""Downloads of images by the hypervisor host itself, from a public server or from a peer.

The bytes are written into a partial volume and hashed on the way. The volume gets its final name only if the digest is that of
an inspected disk; so the bytes that a server sends to a host are never trusted.
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
from pragmaspec.providers.libvirt.volumes import SHARED, ByteCounter, raw_xml
from pragmaspec.resources import Blob, Mark, StagedImage

LIMIT_S = 6 * 3600.0
PEER_HOST_NAME = "neighbour.invalid"
"""The common name of every peer's certificate. No host has this name (RFC 2606)."""
PEER_CONNECT_S = 5
RETRY_S = 20
"""Less than SCRIPT's ``--speed-time``."""
NO_CURL, NO_ACCESS, WRONG_BYTES, NO_NAME = 71, 72, 73, 74

SCRIPT = r"""
partial=$1 final=$2 size=$3 digest=$4 format=$5
command -v curl >/dev/null 2>&1 || exit 71
[ -w "$partial" ] || exit 72
exec 3<&0
paragraph() { while read -r line <&3 && [ -n "$line" ]; do printf '%s\n' "$line"; done; }
options=$(paragraph)
trusted=$(paragraph)
download() {
  curl -q --silent --show-error --fail --globoff --speed-limit 16384 --speed-time 25 --max-filesize "$size" --config - 3<&- \
    4<<TRUSTED <<OPTIONS
$trusted
TRUSTED
$options
OPTIONS
}
(read -r _ <&3; kill 0) >/dev/null 2>&1 &
watch=$!
found=$(download | tee "$partial" 3<&- | sha256sum 3<&-)
kill "$watch"
[ "${found%% *}" = "$digest" ] && [ "$(stat -c %s "$partial")" = "$size" ] || exit 73
[ "$format" != raw ] || fallocate --dig-holes "$partial" 2>/dev/null
sync "$partial" || exit 74
ln -T "$partial" "$final" || exit 74
"""
"""Downloads, hashes and checks in one pass. The source and the trusted certificate are read from standard input, so that no list
of processes shows them. When this program ends, standard input ends, and with it the script."""

_REASONS = {
    NO_CURL: "the host has no curl. Install it there",
    NO_ACCESS: "the account that logs in may not write into the storage pool. Log in as root, or let its group write there",
    NO_NAME: "the host could not give the file its name",
}


class DownloadSource(NamedTuple):
    """The source of one part of an image.

    ``options`` are curl's (with an empty value: a switch); ``trusted`` is the only certificate to trust (PEM; empty: those that
    the host trusts); ``server`` is for messages.
    """

    part: str
    options: tuple[tuple[str, str], ...]
    trusted: str
    server: str

    @property
    def script_input(self) -> bytes:
        """SCRIPT's standard input: two paragraphs, each followed by an empty line. A further byte would end the download."""
        options = "".join(f'{name} = "{_escaped(value)}"\n' if value else f"{name}\n" for name, value in self.options)
        trusted = f"{self.trusted.strip()}\n" if self.trusted else ""
        return f"{options}\n{trusted}\n".encode()


def public_source(copy: PublicCopy) -> DownloadSource:
    """The disk, from a public server. An https server must not redirect to http.

    Failures are retried only before bytes have arrived, hence the time limit of retries: the bytes are hashed in one pass.
    """
    redirect_protocols = "=https" if copy.url.startswith("https:") else "=http,https"
    options = {
        "proto": "=http,https",
        "location": "",
        "proto-redir": redirect_protocols,
        "max-redirs": f"{MAX_REDIRECTS}",
        "connect-timeout": "15",
    }
    retries = {"retry": "2", "retry-delay": "1", "retry-connrefused": "", "retry-max-time": f"{RETRY_S}"}
    return DownloadSource("disk", (("url", copy.url), *options.items(), *retries.items()), "", copy.server)


def peer_source(offer: Offer, part: str, path: str) -> DownloadSource:
    """One part of a peer's offer. The peer is authenticated by its certificate rather than by its name."""
    address = f"[{offer.address}]" if ":" in offer.address else offer.address
    options = {
        "url": f"https://{PEER_HOST_NAME}{path}",
        "connect-to": f"::{address}:{offer.port}",
        "proto": "=https",
        "noproxy": "*",
        "connect-timeout": f"{PEER_CONNECT_S}",
        "cacert": "/dev/fd/4",
    }
    return DownloadSource(part, tuple(options.items()), offer.certificate, offer.address)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def download(host: Host, image: StagedImage, source: DownloadSource, mark: Mark, count: ByteCounter) -> str:
    """Have the host download a part of the image. Return the reason of a failure; empty when the part has its final name."""
    final = names.image_volumes(image)[source.part]
    partial = names.partial_volume(final, mark)
    blob: Blob = getattr(image, source.part)
    size = blob.size_bytes
    volumes.remove(host, partial)
    # Created empty: a host that serves it onwards reads its size as the progress.
    if volumes.create(host, raw_xml(partial, 0, SHARED)) is None:
        return "another run of this stack is downloading it"
    reach("libvirt.image.fetch-begun")
    counted = 0

    def tick() -> None:
        nonlocal counted
        now = min(volumes.allocated_bytes(host, partial), size)
        count(max(0, now - counted))
        counted = max(counted, now)

    try:
        format_name = image.format if source.part == "disk" else ""
        arguments = (host.path(partial), host.path(final), str(size), blob.sha256, format_name)
        result = RemoteShell(host.site.uri).run(SCRIPT, arguments, LIMIT_S, tick, source.script_input)
        reach("libvirt.image.fetched")
    finally:
        volumes.remove(host, partial)
    if result.status:
        return _reason(result, source)
    volumes.refresh(host)  # libvirt does not list the new name yet.
    count(size - counted)
    return ""


def download_error(host: Host, image: StagedImage, reason: str) -> SiteError:
    """The error for a host that has to download the image and could not."""
    return SiteError(
        "The host could not download the image",
        f"Site {host.site.name} has `fetch: host`, and its download of image {image.name} failed: {reason}. With "
        "`fetch: auto` it is sent from here instead.",
    )


def peer_copy_error(host: Host, image: StagedImage, reason: str) -> SiteError:
    """The error for a failed copy from a peer."""
    return SiteError(
        "The image was not copied from the neighbour",
        f"Site {host.site.name} could not copy image {image.name} from its neighbour: {reason}.",
    )


def _reason(result: RemoteResult, source: DownloadSource) -> str:
    if result.status == SSH_FAILED:
        return f"no command can be run on the host: {result.stderr or 'ssh failed'}"
    _, curl, message = result.stderr.rpartition("curl: ")
    if result.status == WRONG_BYTES:
        failure = f"did not send it to the host: curl: {message}" if curl else "sent the host other bytes than those of the image"
        return f"{source.server} {failure}"
    return _REASONS.get(result.status, "the host's shell failed") + (f": {result.stderr}" if result.stderr else "")
